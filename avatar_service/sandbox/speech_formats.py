"""The output formats of ElevenLabs's speech, by the names that the SDK documents.

``codec_rate`` or ``codec_rate_bitrate``. The kbit/s of a name are what the encoder is told.
"""

from dataclasses import dataclass
from typing import Final, Literal

Codec = Literal["pcm", "wav", "mp3", "ulaw", "alaw", "opus"]

_RATES_HZ: Final = (8000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_CONTENT_TYPES: Final[dict[Codec, str]] = {
    "pcm": "audio/pcm",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "ulaw": "audio/basic",
    "alaw": "audio/x-alaw-basic",
    "opus": "audio/ogg",
}


@dataclass(frozen=True, slots=True)
class SpeechFormat:
    """How speech leaves: mono, in one codec. ``bit_rate`` in bit/s is 0 where the codec leaves no choice."""

    name: str
    codec: Codec
    rate_hz: int
    bit_rate: int = 0

    @property
    def content_type(self) -> str:
        """The Content-Type of an answer in this format."""
        return _CONTENT_TYPES[self.codec]


def _named(codec: Codec, rate_hz: int, kbit_s: int = 0) -> SpeechFormat:
    name = f"{codec}_{rate_hz}_{kbit_s}" if kbit_s else f"{codec}_{rate_hz}"
    return SpeechFormat(name, codec, rate_hz, kbit_s * 1000)


_STREAMED: Final = (
    _named("mp3", 22_050, 32),
    _named("mp3", 24_000, 48),
    *(_named("mp3", 44_100, kbit_s) for kbit_s in (32, 64, 96, 128, 192)),
    *(_named("pcm", rate_hz) for rate_hz in _RATES_HZ),
    _named("ulaw", 8000),
    _named("alaw", 8000),
    *(_named("opus", 48_000, kbit_s) for kbit_s in (32, 64, 96, 128, 192)),
)

STREAM_FORMATS: Final = {speech_format.name: speech_format for speech_format in _STREAMED}
"""What a streamed answer and a WebSocket can carry."""

CONVERT_FORMATS: Final = STREAM_FORMATS | {
    speech_format.name: speech_format for speech_format in (_named("wav", rate_hz) for rate_hz in _RATES_HZ)
}
"""What a whole answer can carry: WAV too, whose header needs the length."""

DEFAULT_FORMAT: Final = "mp3_44100_128"
"""The vendor's default."""
