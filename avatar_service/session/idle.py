"""The silent avatar between turns: frames without a voice, turn 0."""

import asyncio

from avatar_service import clock
from avatar_service.channel import Sender
from avatar_service.engines.base import LipSync, RenderRequest
from avatar_service.errors import EngineError, EngineTimeout
from avatar_service.events import Event, Media
from avatar_service.log import get_logger
from avatar_service.media.types import Frame
from avatar_service.stages.spans import DEFAULT_POLICY, silent_request
from avatar_service.turn.turn import MediaSettings

log = get_logger(__name__)

IDLE = 0
"""The turn that idle frames belong to."""
LEAD_FRAMES = 2
"""How many frames may be sent ahead of their time: a turn cannot take them back."""
AT_A_TIME = DEFAULT_POLICY.frames
"""Pictures of one request."""
RETRY_AFTER_S = 0.5
"""Pause after the first pictures of a phase could not be had, or one not be encoded; the client goes on showing the
last one meanwhile."""


class IdleFrames:
    """Phases of idle frames in one stream. Each has its own index and offsets, and goes on in the avatar's loop.

    Frames go by the clock: to a client that reads slowly fewer are sent, and none is made up for. Where pictures cannot
    be had in time, the loop goes on without them to the next ones, which may be at hand. A phase runs until it is
    stopped: before its tasks' group ends.
    """

    def __init__(self, media: MediaSettings, lip_sync: LipSync, out: Sender[Event]) -> None:
        """`out` may raise EngineError where frames are encoded in it."""
        self._media = media
        self._lip_sync = lip_sync
        self._out = out
        self._task: asyncio.Task[None] | None = None
        self._next_index = 0
        self._well_from: int | None = None
        """Where in the endless loop a round without a failure ends; None if nothing has failed."""

    def start(self, tasks: asyncio.TaskGroup, loop_index: int) -> None:
        """Begin a phase at this picture of the loop; one that is going on is left alone."""
        if self._task is None:
            self._next_index = loop_index
            self._task = tasks.create_task(self._show())

    def stop(self) -> int:
        """End the phase at once, if there is one; returns the picture of the loop after the last that was sent."""
        if self._task:
            self._task.cancel()
            self._task = None
        return self._next_index

    def change(self, media: MediaSettings) -> None:
        """Show another avatar from the next picture on, of the same size and frame rate."""
        self._media = media

    async def _show(self) -> None:
        fps, first, index = self._media.fps, self._next_index, 0
        began_s: float | None = None
        async with asyncio.TaskGroup() as fetching:
            pictures = _Pictures(self._lip_sync, fetching)
            while True:
                steps, pause_s = await self._send(index, first + index, pictures, has_begun=began_s is not None)
                if steps:
                    began_s = clock.now() if began_s is None else began_s
                    index += steps
                await asyncio.sleep(pause_s)
                if began_s is not None:
                    index = max(index, int((clock.now() - began_s) * fps))
                    await asyncio.sleep(began_s + float((index + 1 - LEAD_FRAMES) / fps) - clock.now())

    async def _send(self, index: int, loop_index: int, pictures: "_Pictures", *, has_begun: bool) -> tuple[int, float]:
        """Send a frame; returns by how many the loop goes on, or 0 and how long to wait before another try.

        The first frame of a phase is waited for; in place of others the loop goes on to the next that may be at hand.
        """
        frame_s = float(1 / self._media.fps)
        if self._out.waiting_s > frame_s:
            return 0, frame_s
        avatar, length = self._media.avatar_key, self._media.loop_length
        shown = loop_index % length
        together = min(shown - shown % AT_A_TIME + AT_A_TIME, length) - shown
        try:
            picture = await pictures.picture(avatar, length, shown, together * frame_s if has_begun else None)
        except EngineError as error:
            self._failed(error, loop_index + length)
            return (together, 0.0) if has_begun else (0, RETRY_AFTER_S)
        try:
            await self._out.send(Media(IDLE, Frame(index, picture, shown)))
        except EngineError as error:
            self._failed(error, loop_index + length)
            return 0, RETRY_AFTER_S
        self._next_index = loop_index + 1
        if self._well_from is not None and loop_index >= self._well_from:
            self._well_from = None
        return 1, 0.0

    def _failed(self, error: EngineError, well_from: int) -> None:
        """Log it, once until the whole loop could be shown again."""
        if self._well_from is None:
            log.warning("idle_frames_lost", **error.facts)
        self._well_from = well_from


class _Pictures:
    """Pictures of the silent avatar in one phase: several are asked for at a time, the next ones while these are shown.

    Which ones go together is the same for all sessions, so that they share what is fetched.
    """

    def __init__(self, lip_sync: LipSync, fetching: asyncio.TaskGroup) -> None:
        self._lip_sync = lip_sync
        self._fetching = fetching
        self._blocks: dict[tuple[str, int], asyncio.Task[tuple[bytes, ...] | EngineError]] = {}

    async def picture(self, avatar: str, length: int, loop_index: int, within_s: float | None) -> bytes:
        """One picture of an avatar whose loop has so many. Raises EngineError."""
        begin = loop_index - loop_index % AT_A_TIME
        if _has_failed(self._blocks.get((avatar, begin))):  # it was asked for ahead of its time
            del self._blocks[avatar, begin]
        following = begin + AT_A_TIME if begin + AT_A_TIME < length else 0
        self._blocks = {
            (avatar, start): self._blocks.get((avatar, start)) or self._fetch(avatar, start, length)
            for start in (begin, following)
        }
        await asyncio.wait({self._blocks[avatar, begin]}, timeout=within_s)
        if not self._blocks[avatar, begin].done():
            raise EngineTimeout("animate", "lip-sync", "pictures did not come in time")
        images = self._blocks[avatar, begin].result()
        if isinstance(images, EngineError):
            del self._blocks[avatar, begin]
            raise images
        return images[loop_index - begin]

    def _fetch(self, avatar: str, start: int, length: int) -> asyncio.Task[tuple[bytes, ...] | EngineError]:
        request = silent_request(avatar, range(start, min(start + AT_A_TIME, length)))
        return self._fetching.create_task(self._fetched(request))

    async def _fetched(self, request: RenderRequest) -> tuple[bytes, ...] | EngineError:
        """The pictures; an error is returned, since raising would end the phase."""
        try:
            return (await self._lip_sync.render(request)).images
        except EngineError as error:
            return error


def _has_failed(block: asyncio.Task[tuple[bytes, ...] | EngineError] | None) -> bool:
    return block is not None and block.done() and isinstance(block.result(), EngineError)
