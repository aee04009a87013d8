"""The voice of a turn to render requests: which sound each frame is rendered from.

A request holds a span of 16 kHz sound: some left context before its frames, their own time, and some look-ahead after.
A span begins at a whole feature of the model, 20 ms of the turn, so that the features around a frame are the same
whatever request it is in. Requests depend on the voice alone, never on how it arrived in pieces.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from avatar_service.engines.base import RenderRequest
from avatar_service.media.timeline import Timeline
from avatar_service.settings import LipSyncSettings
from avatar_service.stages.mouth import MouthTiming, is_loud

RATE_HZ = 16_000
"""Sample rate that the lip-sync model hears."""
FEATURE_SAMPLES = 320
"""Samples of one of the model's audio features: 20 ms."""
START_OF_TURN = 0.5
"""Running log-mel maximum before anything was heard, as model_repository/README.md states it."""


@dataclass(frozen=True, slots=True)
class SpanPolicy:
    """How a turn's voice is cut into requests. The defaults are what the embedded model was trained on."""

    left_context: int = RATE_HZ
    """Samples before a request's first frame: 1.0 s, and up to 19 ms more to begin at a whole feature."""
    look_ahead: int = RATE_HZ * 240 // 1000
    """Samples after a request's last frame: 240 ms."""
    first_frames: int = 4
    """Frames of a turn's first request: few, so that the first one comes soon."""
    frames: int = 8
    """Frames of every other request: more would delay, fewer would encode the same context more often. The model takes
    no more."""

    @classmethod
    def chosen(cls, settings: LipSyncSettings) -> "SpanPolicy":
        """The policy that the operator asked for."""
        milliseconds = RATE_HZ // 1000
        return cls(settings.left_context_ms * milliseconds, settings.look_ahead_ms * milliseconds)

    @property
    def look_ahead_ms(self) -> Fraction:
        """The look-ahead in milliseconds."""
        return Fraction(1000 * self.look_ahead, RATE_HZ)

    def start(self, first_sample: int) -> int:
        """Where the span of a request begins whose first frame begins at this sample of the turn."""
        return (first_sample - self.left_context) // FEATURE_SAMPLES * FEATURE_SAMPLES


DEFAULT_POLICY = SpanPolicy()


@dataclass(frozen=True, slots=True)
class AvatarLoop:
    """The avatar of a session (`id@sha256`), the length of its loop, and where in it a turn begins."""

    key: str
    length: int
    first_index: int = 0

    def index_of(self, frame: int) -> int:
        """The picture of the loop behind a turn's frame."""
        return (self.first_index + frame) % self.length


def silent_request(avatar: str, loop_indices: Sequence[int]) -> RenderRequest:
    """Asks for pictures of the silent avatar: what is heard moves nothing."""
    return RenderRequest(
        avatar=avatar,
        span=np.zeros(FEATURE_SAMPLES, np.int16),
        span_start=0,
        frame_indices=tuple(loop_indices),
        frame_starts=(0,) * len(loop_indices),
        mouth_weights=(0.0,) * len(loop_indices),
        mel_max=START_OF_TURN,
    )


class SpanBuilder:
    """Collects a turn's 16 kHz voice and cuts render requests from it. `mel_max` is set from each answer."""

    def __init__(self, fps: Fraction, loop: Callable[[], AvatarLoop], policy: SpanPolicy = DEFAULT_POLICY) -> None:
        """`loop` is asked once, when the first request is cut: until then it may go on by itself."""
        self._timeline = Timeline(RATE_HZ, fps)
        self._begin = loop
        self._loop: AvatarLoop | None = None
        self._policy = policy
        self._mouth = MouthTiming.at(fps, policy.look_ahead_ms)
        self._dropped = policy.start(0)
        """Position in the turn of the first sample kept; it begins with the silence before the turn."""
        self._voice = np.zeros(-self._dropped, np.int16)
        self._loud: list[bool] = []
        self._next_frame = 0
        self.mel_max = START_OF_TURN

    def push(self, pcm: bytes) -> None:
        """Add voice (16-bit mono at 16 kHz, whole samples)."""
        self._voice = np.concatenate([self._voice, np.frombuffer(pcm, np.int16)])
        self._judge_frames()

    def pad(self, frames: int) -> None:
        """Fill with silence up to the look-ahead after the turn's last frame; `frames` is their number."""
        missing = self._timeline.first_sample(frames) + self._policy.look_ahead - self._end
        self.push(bytes(2 * max(0, missing)))

    def next_request(self, frames_left: int | None = None) -> RenderRequest | None:
        """The next request whose sound is complete, or None; at the end `frames_left` limits its frames."""
        first = self._next_frame
        count = self._policy.frames if first else self._policy.first_frames
        if frames_left is not None:
            count = min(count, frames_left)
        if not count or self._end < self._timeline.first_sample(first + count) + self._policy.look_ahead:
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
        loop = self._loop = self._loop or self._begin()
        start = self._policy.start(self._timeline.first_sample(first))
        end = self._timeline.first_sample(first + count) + self._policy.look_ahead
        span = self._voice[start - self._dropped : end - self._dropped].copy()
        self._voice = self._voice[start - self._dropped :]
        self._dropped = start
        frames = range(first, first + count)
        # Of what follows, only what every way of arriving has brought by now may count.
        known = self._loud[: self._timeline.frames_before(end)]
        return RenderRequest(
            avatar=loop.key,
            span=span,
            span_start=start,
            frame_indices=tuple(loop.index_of(frame) for frame in frames),
            frame_starts=tuple(self._timeline.first_sample(frame) - start for frame in frames),
            mouth_weights=tuple(self._mouth.weight(known, frame) for frame in frames),
            mel_max=self.mel_max,
        )
