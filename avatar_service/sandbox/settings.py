"""What one sandbox may be told, with the limits that it keeps."""

import math
from dataclasses import dataclass

MAX_DELAY_S = 30.0
MIN_SPEECH_RATE = 0.1
MAX_SPEECH_RATE = 1000.0


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Settings of one sandbox; ``ValueError`` names the field and its range.

    Delays are the least time in seconds from the end of a request to the first byte of its answer; a model that takes
    longer than that is not hurried.
    """

    key: str = "sandbox"
    """The only key that both stand-in vendors accept."""
    speech_rate: float | None = None
    """Speech leaves at this many times real time; None: as fast as it is made."""
    transcription_delay_s: float = 0.0
    chat_delay_s: float = 0.0
    speech_delay_s: float = 0.0
    max_upload_bytes: int = 25 * 1024 * 1024
    """The vendor's own limit of an audio upload."""
    max_audio_s: float = 120.0
    """Longest recording that is transcribed."""
    max_text_chars: int = 5000
    """Longest text that is spoken in one request."""
    queue_capacity: int = 16
    """Requests that may wait for one model; one more is answered 429."""
    max_sockets: int = 32
    """WebSockets that may be open; one more is answered 429."""
    max_requests: int = 128
    """Requests that may be in progress over HTTP, for each vendor; one more is answered 429."""
    deadline_s: float = 30.0
    """Longest time that one request may wait for and use its model."""
    requests_kept: int = 256
    """Requests that ``GET /sandbox/requests`` remembers."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if not self.key or not self.key.isascii() or not self.key.isprintable():
            raise ValueError("key must be printable ASCII and not empty")
        if self.speech_rate is not None:
            check_speech_rate(self.speech_rate)
        for name in ("transcription_delay_s", "chat_delay_s", "speech_delay_s"):
            if not 0.0 <= getattr(self, name) <= MAX_DELAY_S:
                raise ValueError(f"{name} must lie between 0 and {MAX_DELAY_S:g} seconds")
        for name in (
            "max_upload_bytes",
            "max_audio_s",
            "max_text_chars",
            "queue_capacity",
            "deadline_s",
            "max_sockets",
            "max_requests",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0")
        if self.requests_kept < 1:
            raise ValueError("requests_kept must be at least 1")


def check_speech_rate(rate: float) -> float:
    """Return ``rate``; ``ValueError`` unless it is a number that speech can be paced at."""
    if not math.isfinite(rate) or not MIN_SPEECH_RATE <= rate <= MAX_SPEECH_RATE:
        raise ValueError(
            f"the speech rate must lie between {MIN_SPEECH_RATE:g} and {MAX_SPEECH_RATE:g} times real time"
        )
    return rate
