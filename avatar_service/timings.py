"""The moments of a turn from which its metrics are computed."""

from collections.abc import Mapping
from typing import Literal

from avatar_service import clock, tracing

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

LATENCIES: Mapping[str, tuple[Moment, Moment]] = {
    "endpointing_time": ("speech_ended", "turn_started"),
    "transcription_time": ("transcription_started", "transcribed"),
    "time_to_first_token": ("chat_started", "first_token"),
    "llm_response_time": ("chat_started", "reply_written"),
    "time_to_first_speech_byte": ("speech_started", "first_speech"),
    "first_render_time": ("render_started", "first_frame_rendered"),
    "time_to_first_audio": ("speech_ended", "first_audio_sent"),
    "time_to_first_frame": ("speech_ended", "first_frame_sent"),
    "interruption_time": ("interrupt_decided", "interrupted"),
}
"""Latencies of a turn by their names in the contract (less `_ms`), from one moment to another."""
OUTPUTS: frozenset[Moment] = frozenset(
    {
        "transcribed",
        "first_token",
        "reply_written",
        "first_speech",
        "first_frame_rendered",
        "first_audio_sent",
        "first_frame_sent",
    }
)
"""What comes out of a turn and of its stages: events of the span in which it is noted."""


class Timings:
    """Notes when each moment first came, in seconds on the loop's clock."""

    def __init__(self) -> None:
        self._moments_s: dict[Moment, float] = {}
        self.speech_s = 0.0
        """Time spent waiting for text to speech, over all sentences."""

    def mark(self, moment: Moment, *, at_s: float | None = None) -> None:
        """Note a moment once; later marks of it do nothing."""
        if moment in self._moments_s:
            return
        now_s = clock.now()
        self._moments_s[moment] = now_s if at_s is None else at_s
        if moment in OUTPUTS:
            tracing.event(moment, now_s - self._moments_s[moment])

    def has(self, moment: Moment) -> bool:
        """Whether a moment has come."""
        return moment in self._moments_s

    def between_s(self, start: Moment, end: Moment) -> float | None:
        """Seconds from one moment to another; None if either did not come."""
        if start not in self._moments_s or end not in self._moments_s:
            return None
        return self._moments_s[end] - self._moments_s[start]

    def latencies_s(self, *, audio_only: bool = False) -> dict[str, float]:
        """Every latency that was measured, in seconds; with `audio_only` nobody waits for a frame."""
        between = {name: self.between_s(start, end) for name, (start, end) in LATENCIES.items()}
        latencies = {name: seconds for name, seconds in between.items() if seconds is not None}
        if self.speech_s:
            latencies["tts_generation_time"] = self.speech_s
        awaited = {"time_to_first_audio"} if audio_only else {"time_to_first_audio", "time_to_first_frame"}
        if awaited <= latencies.keys():
            latencies["total_latency"] = max(latencies[name] for name in awaited)
        return latencies
