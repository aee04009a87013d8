"""Frames of a video at a constant rate, upright, one after the other.

Everything here blocks. Whatever is wrong with the file raises InvalidArgument.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from avatar_service.avatars.catalogue import FASTEST, SLOWEST
from avatar_service.errors import InvalidArgument
from avatar_service.settings import PreparationSettings

FIELD = "data"
DAMAGED = "is an MP4 that cannot be read; it was cut or damaged"
COMMON_RATES = (
    Fraction(24_000, 1_001),
    *map(Fraction, (24, 25)),
    Fraction(30_000, 1_001),
    *map(Fraction, (30, 48, 50)),
    Fraction(60_000, 1_001),
    Fraction(60),
)
NEAR = Fraction(1, 1_000)
"""A rate that is so near to a common one is that one, measured over a few frames."""
LARGEST_DENOMINATOR = 1_001
EARLY = Fraction(1, 4)
"""Part of a frame's time by which it may be early: time stamps are rounded to the container's ticks."""

Picture = NDArray[np.uint8]  # [height, width, 3] RGB


@dataclass(frozen=True, slots=True)
class Upright:
    """Size of a picture as people see it, and the quarter turns, counter-clockwise, from how it is stored."""

    width: int
    height: int
    turns: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What a video's header and first frame tell."""

    upright: Upright
    fps: Fraction
    expected_frames: int


def look_at(path: Path, limits: PreparationSettings) -> Facts:
    """Read the header and the first frame. Raises InvalidArgument."""
    with _opened(path) as container:
        stream = _stream(container)
        fps = _rate(stream)
        duration_s = _duration_s(container, stream)
        _require_short(duration_s, int(duration_s * fps), limits)
        _require_small(stream.codec_context.width, stream.codec_context.height, limits)
        first = next(container.decode(stream), None)
        if first is None:
            raise _unreadable("has no frames")
        return Facts(_upright(first, stream), fps, max(1, round(duration_s * fps)))


def frames(path: Path, fps: Fraction, limits: PreparationSettings) -> Iterator[Picture]:
    """The picture shown at each n/fps from the first frame on. Raises InvalidArgument."""
    count, upright = 0, None
    with _opened(path) as container:
        stream = _stream(container)
        for frame, times in _shown(container.decode(stream), fps):
            size = _upright(frame, stream)
            _require_small(frame.width, frame.height, limits)
            upright = upright or size
            picture = None
            for _ in range(times):
                count += 1
                _require_short(count / float(fps), count, limits)
                picture = picture if picture is not None else _picture(frame, size, upright)
                yield picture
    if not count:
        raise _unreadable("has no frames")


def _shown(decoded: Iterator[Any], fps: Fraction) -> Iterator[tuple[Any, int]]:
    """Each frame with how often it is shown: at every n/fps, the latest frame that has begun by then is."""
    before, start, shown = None, Fraction(0), 0
    for frame in decoded:
        at = frame.pts * frame.time_base if frame.pts is not None else None
        if before is None:
            before, start = frame, at or Fraction(0)
            continue
        # Without a time stamp it follows the one before.
        begins = shown + 1 if at is None else -int(-((at - start) * fps - EARLY) // 1)
        if begins > shown:
            yield before, begins - shown
            shown = begins
        before = frame
    if before is not None:
        yield before, 1


def _picture(frame: Any, size: Upright, wanted: Upright) -> Picture:
    """A frame's pixels, upright, all of one size."""
    turned = wanted.turns % 2 == 1
    width, height = (wanted.height, wanted.width) if turned else (wanted.width, wanted.height)
    rgb: Picture = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="BICUBIC")
    return np.ascontiguousarray(np.rot90(rgb, size.turns)) if size.turns else rgb


def _upright(frame: Any, stream: Any) -> Upright:
    """As it is to be shown: turned as the phone was held, and its pixels made square."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    width, height = (
        (round(frame.width * aspect), frame.height) if aspect >= 1 else (frame.width, round(frame.height / aspect))
    )
    turns = round(frame.rotation / 90) % 4
    return Upright(height, width, turns) if turns % 2 else Upright(width, height, turns)


def _rate(stream: Any) -> Fraction:
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    rate = max(SLOWEST, min(FASTEST, rate))
    common = min(COMMON_RATES, key=lambda known: abs(known - rate))
    return common if abs(common - rate) <= NEAR * common else rate.limit_denominator(LARGEST_DENOMINATOR)


def _duration_s(container: Any, stream: Any) -> float:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0


def _require_short(duration_s: float, count: int, limits: PreparationSettings) -> None:
    if duration_s > limits.source_s or count > limits.source_frames:
        raise InvalidArgument(
            FIELD,
            f"has {duration_s:.1f} s of video, {count} frames or more; give at most {limits.source_s:g} s and "
            f"{limits.source_frames} frames",
            reason="SOURCE_TOO_LARGE",
        )


def _require_small(width: int, height: int, limits: PreparationSettings) -> None:
    if width * height > limits.source_pixels:
        raise InvalidArgument(
            FIELD, f"is {width} by {height}; give at most {limits.source_pixels:,} pixels", reason="SOURCE_TOO_LARGE"
        )


def _stream(container: Any) -> Any:
    if not container.streams.video:
        alone = "has sound alone; give a video that shows a face"
        raise _unreadable(alone if container.streams.audio else DAMAGED)
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1  # one preparation takes one core
    return stream


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The container; what FFmpeg cannot read raises InvalidArgument."""
    try:
        with av.open(str(path), format="mp4", options={"protocol_whitelist": "file"}) as container:
            yield container
    except (FFmpegError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise _unreadable(DAMAGED) from error


def _unreadable(words: str) -> InvalidArgument:
    return InvalidArgument(FIELD, words, reason="SOURCE_UNREADABLE")
