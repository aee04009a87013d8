"""The voice of a turn to render requests: which sound each frame is rendered from.

A request holds a span of 16 kHz sound: 1.0 s before its frames, their own time, and 240 ms after. The model was trained
on exactly this span. Requests depend on the voice alone, never on how it arrived in pieces.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from avatar_service.engines.base import RenderRequest
from avatar_service.media.timeline import Timeline
from avatar_service.stages.mouth import is_loud, mouth_weight

RATE_HZ = 16_000
"""Sample rate that the lip-sync model hears."""
LEFT_CONTEXT = RATE_HZ
"""Samples before a request's first frame: 1.0 s."""
LOOK_AHEAD = RATE_HZ * 240 // 1000
"""Samples after a request's last frame: 240 ms."""
FIRST_FRAMES = 4
"""Frames of a turn's first request: few, so that the first one comes soon."""
FRAMES = 8
"""Frames of every other request: more would delay, fewer would encode the same context more often."""
START_OF_TURN = 0.5
"""Running log-mel maximum before anything was heard, as model_repository/README.md states it."""


@dataclass(frozen=True, slots=True)
class AvatarLoop:
    """The avatar of a session (`id@sha256`), the length of its loop, and where in it a turn begins."""

    key: str
    length: int
    first_index: int = 0

    def index_of(self, frame: int) -> int:
        """The picture of the loop behind a turn's frame."""
        return (self.first_index + frame) % self.length


class SpanBuilder:
    """Collects a turn's 16 kHz voice and cuts render requests from it. `mel_max` is set from each answer."""

    def __init__(self, fps: Fraction, loop: AvatarLoop) -> None:
        self._timeline = Timeline(RATE_HZ, fps)
        self._loop = loop
        self._voice = np.zeros(LEFT_CONTEXT, np.int16)
        self._dropped = -LEFT_CONTEXT
        """Position in the turn of the first sample kept; it begins with the silence before the turn."""
        self._loud: list[bool] = []
        self._next_frame = 0
        self.mel_max = START_OF_TURN

    def push(self, pcm: bytes) -> None:
        """Add voice (16-bit mono at 16 kHz, whole samples)."""
        self._voice = np.concatenate([self._voice, np.frombuffer(pcm, np.int16)])
        self._judge_frames()

    def pad(self, frames: int) -> None:
        """Fill with silence up to the look-ahead after the turn's last frame; `frames` is their number."""
        missing = self._timeline.first_sample(frames) + LOOK_AHEAD - self._end
        self.push(bytes(2 * max(0, missing)))

    def next_request(self, frames_left: int | None = None) -> RenderRequest | None:
        """The next request whose sound is complete, or None; at the end `frames_left` limits its frames."""
        first = self._next_frame
        count = FRAMES if first else FIRST_FRAMES
        if frames_left is not None:
            count = min(count, frames_left)
        if not count or self._end < self._timeline.first_sample(first + count) + LOOK_AHEAD:
            return None
        self._next_frame += count
        return self._request(first, count)

    @property
    def _end(self) -> int:
        return self._dropped + len(self._voice)

    def _judge_frames(self) -> None:
        while self._end >= self._timeline.first_sample(len(self._loud) + 1):
            index = len(self._loud)
            self._loud.append(is_loud(self._between(self._timeline.first_sample(index), index + 1)))

    def _between(self, start: int, end_frame: int) -> NDArray[np.int16]:
        return self._voice[start - self._dropped : self._timeline.first_sample(end_frame) - self._dropped]

    def _request(self, first: int, count: int) -> RenderRequest:
        start = self._timeline.first_sample(first) - LEFT_CONTEXT
        end = self._timeline.first_sample(first + count) + LOOK_AHEAD
        span = self._voice[start - self._dropped : end - self._dropped].copy()
        self._voice = self._voice[start - self._dropped :]
        self._dropped = start
        frames = range(first, first + count)
        # Of what follows, only what every way of arriving has brought by now may count.
        known = self._loud[: self._timeline.frames_before(end)]
        return RenderRequest(
            avatar=self._loop.key,
            span=span,
            span_start=start,
            frame_indices=tuple(self._loop.index_of(frame) for frame in frames),
            frame_starts=tuple(self._timeline.first_sample(frame) - start for frame in frames),
            mouth_weights=tuple(mouth_weight(known, frame) for frame in frames),
            mel_max=self.mel_max,
        )
