"""An avatar made of a source: its frames, the face in them, what the model needs of it, and the bundle of all that.

1. decode: the source's frames, as JPEG of the avatar's size, go to the disk; at most a few are in memory
2. find: where the face is in each; the caller's own boxes skip this
3. encode: latents and masks, from exactly the stored bytes
4. write: the bundle, whole and on the disk
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from avatar_service.avatars.boxes import Track, bounded, found_track, given_track, scaled, smoothed
from avatar_service.avatars.bundle import FRAMES, Description, frame_path, write_bundle
from avatar_service.avatars.record import Report
from avatar_service.avatars.source import FIELD, Source, frames_of
from avatar_service.avatars.workers import Workers
from avatar_service.engines.base import IMAGES_A_CALL, Box, EncodedFaces, FacePreparer
from avatar_service.errors import EngineUnavailable, InvalidArgument
from avatar_service.settings import PreparationSettings

T = TypeVar("T")

DECODED, FOUND, ENCODED = 30, 60, 95
"""Percent done after each pass; the rest is writing."""
IN_FLIGHT = 2
"""Calls of one preparation at once: one is worked on while the next is on its way."""
LARGEST_BUNDLE_BYTES = 256 << 20
"""Triton holds an avatar in memory as long as it is used, up to 512 MiB for all of them."""
LATENT_BYTES = 8 * 32 * 32 * 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for: its name, boxes in pixels of the upright source, none to have them found."""

    avatar_id: str
    display_name: str
    boxes: tuple[Box, ...] = ()
    smooth_boxes: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """A bundle on the disk, and what became of the source's frames."""

    folder: Path
    sha256: str
    report: Report


class Preparing:
    """One preparation, in a folder of its own that its caller removes. `tell` gets the percent done."""

    def __init__(
        self,
        faces: FacePreparer,
        limits: PreparationSettings,
        workers: Workers,
        folder: Path,
        tell: Callable[[int], None],
    ) -> None:
        self._faces = faces
        self._limits = limits
        self._workers = workers
        self._folder = folder
        self._tell = tell

    async def run(self, source: Source, wanted: Wanted) -> Made:
        """Make the bundle. Raises InvalidArgument for a source without a face, EngineError, OSError."""
        count = await self._decode(source)
        found = await self._track(source, wanted, count)
        track = bounded(found, source.width, source.height)
        await self._workers.run(partial(_leave_out, self._folder, track))
        _require_light(await self._workers.run(partial(_frame_bytes, self._folder)), track)
        encoded = await self._encode(track)
        if any(part.weights != encoded[0].weights for part in encoded):
            raise EngineUnavailable("prepare", "triton", "its weights changed while it prepared an avatar")
        described = Description(
            avatar_id=wanted.avatar_id,
            display_name=wanted.display_name,
            width=source.width,
            height=source.height,
            fps=source.fps,
            boxes=track.boxes,
            weights=encoded[0].weights,
        )
        latents: NDArray[np.float32] = np.concatenate([part.latents for part in encoded])  # [n, 8, 32, 32]
        masks = [mask for part in encoded for mask in part.masks]
        sha256 = await self._workers.run(partial(write_bundle, self._folder, described, latents, masks))
        return Made(self._folder, sha256, Report(track.source_frames, track.interpolated, track.dropped))

    async def _decode(self, source: Source) -> int:
        """Put the source's frames on the disk; returns how many there are."""
        await self._workers.run(partial(_make_folders, self._folder))
        decoding = frames_of(source, self._limits)
        count = 0
        try:
            while taken := await self._workers.run(partial(_store_next, decoding, self._folder, count)):
                count += taken
                self._tell(min(DECODED, DECODED * count // source.expected_frames))
        finally:
            await self._workers.run(decoding.close)
        return count

    async def _track(self, source: Source, wanted: Wanted, count: int) -> Track:
        """Where the face is in each frame that is kept."""
        if wanted.boxes:
            track = given_track(scaled(wanted.boxes, source.scale), count)
        else:
            parts = await self._in_batches(range(count), lambda images, _: self._faces.find(images), DECODED, FOUND)
            track = found_track([face for part in parts for face in part], source.fps)
        return smoothed(track, source.fps) if wanted.smooth_boxes else track

    async def _encode(self, track: Track) -> list[EncodedFaces]:
        def encode(images: Sequence[bytes], frames: Sequence[int]) -> Awaitable[EncodedFaces]:
            return self._faces.encode(images, [track.boxes[frame] for frame in frames])

        return await self._in_batches(range(len(track.boxes)), encode, FOUND, ENCODED)

    async def _in_batches(
        self,
        frames: range,
        work: Callable[[Sequence[bytes], Sequence[int]], Awaitable[T]],
        begun: int,
        done: int,
    ) -> list[T]:
        """What `work` makes of the pictures, a call's worth at a time, in their order; `begun` to `done` percent."""
        batches = [frames[begin : begin + IMAGES_A_CALL] for begin in range(0, len(frames), IMAGES_A_CALL)]
        places, finished = asyncio.Semaphore(IN_FLIGHT), 0

        async def one(batch: range) -> T:
            nonlocal finished
            async with places:
                images = await self._workers.run(partial(_read_frames, self._folder, batch))
                made = await work(images, batch)
            finished += 1
            self._tell(begun + (done - begun) * finished // len(batches))
            return made

        try:
            async with asyncio.TaskGroup() as calls:
                tasks = [calls.create_task(one(batch)) for batch in batches]
        except BaseExceptionGroup as errors:
            raise _first(errors) from errors
        return [task.result() for task in tasks]


def _make_folders(folder: Path) -> None:
    (folder / FRAMES).mkdir(parents=True)


def _store_next(frames: Iterator[bytes], folder: Path, index: int) -> int:
    """Put the next few frames on the disk; returns how many there were."""
    count = 0
    for jpeg in islice(frames, IMAGES_A_CALL):
        frame_path(folder, index + count).write_bytes(jpeg)
        count += 1
    return count


def _read_frames(folder: Path, frames: range) -> list[bytes]:
    return [frame_path(folder, frame).read_bytes() for frame in frames]


def _leave_out(folder: Path, track: Track) -> None:
    """Remove the frames that are not kept, and number the others anew."""
    for frame in set(range(track.source_frames)) - set(track.kept):
        frame_path(folder, frame).unlink()
    for new, old in enumerate(track.kept):  # never beyond the old number, so that none is written over
        frame_path(folder, old).rename(frame_path(folder, new))


def _frame_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / FRAMES).iterdir())


def _require_light(frame_bytes: int, track: Track) -> None:
    """Raise InvalidArgument for an avatar that would crowd others out of Triton's memory."""
    masks = sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in track.boxes)
    if (size := frame_bytes + masks + LATENT_BYTES * len(track.boxes)) > LARGEST_BUNDLE_BYTES:
        raise InvalidArgument(
            FIELD,
            f"makes an avatar of {size >> 20} MiB; the limit is {LARGEST_BUNDLE_BYTES >> 20} MiB, give a shorter or "
            "smaller video",
            reason="SOURCE_TOO_LARGE",
        )


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = errors.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
