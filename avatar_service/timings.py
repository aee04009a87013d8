"""The moments of a turn from which its metrics are computed."""

from typing import Literal

from avatar_service import clock

Moment = Literal[
    "speech_ended",  # the user's last sound, or the arrival of text
    "turn_started",  # endpointing decided
    "transcription_started",
    "transcribed",
    "chat_started",
    "first_token",
    "reply_written",
    "speech_started",
    "first_speech",  # first bytes from text to speech
    "render_started",
    "first_frame_rendered",
    "first_audio_sent",
    "first_frame_sent",
    "interrupt_decided",
    "interrupted",
]


class Timings:
    """Notes when each moment first came, in seconds on the loop's clock."""

    def __init__(self) -> None:
        self._moments_s: dict[Moment, float] = {}
        self.speech_s = 0.0
        """Time spent waiting for text to speech, over all sentences."""

    def mark(self, moment: Moment, *, at_s: float | None = None) -> None:
        """Note a moment once; later marks of it do nothing."""
        self._moments_s.setdefault(moment, clock.now() if at_s is None else at_s)

    def between_s(self, start: Moment, end: Moment) -> float | None:
        """Seconds from one moment to another; None if either did not come."""
        if start not in self._moments_s or end not in self._moments_s:
            return None
        return self._moments_s[end] - self._moments_s[start]
