"""A voice as its vendor streams it, in any of the vendor's formats, to mono 16-bit PCM."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from avatar_service.media.mp3 import Mp3Decoder
from avatar_service.media.ogg_opus import OggOpusDecoder
from avatar_service.media.wire_audio import MULAW_RATE_HZ, AudioDecoder, AudioEncoding, MalformedAudio

CONTAINERS = {b"ID3": "MP3", b"OggS": "Ogg", b"RIFF": "WAV", b"fLaC": "FLAC"}
"""How files begin that are no bare samples, and what they are."""


class VoiceDecoder(Protocol):
    """Decodes one stream. Pieces may split it anywhere; what comes out holds whole samples."""

    def push(self, data: bytes) -> bytes:
        """The PCM that is complete with these bytes. Raises MalformedAudio."""

    def flush(self) -> bytes:
        """The rest, after the last piece. Raises MalformedAudio where bare samples end within one."""


def voice_decoder(codec: str, rate_hz: int) -> VoiceDecoder:
    """A decoder for "pcm", "ulaw", "alaw", "mp3" or "opus" (in Ogg) at `rate_hz`. Raises ValueError for others."""
    match codec:
        case "pcm":
            return _SampleDecoder(AudioDecoder(AudioEncoding.LINEAR16, rate_hz).decode, 2)
        case "ulaw":
            return _SampleDecoder(AudioDecoder(AudioEncoding.MULAW, MULAW_RATE_HZ).decode, 1)
        case "alaw":
            return _SampleDecoder(_alaw, 1)
        case "mp3":
            return Mp3Decoder(rate_hz)
        case "opus":
            return OggOpusDecoder()
    raise ValueError(f"{codec}: a voice can be streamed as pcm, ulaw, alaw, mp3 or opus")


class _SampleDecoder:
    """Bare samples; a piece may end within one."""

    def __init__(self, decode: Callable[[bytes], bytes], sample_bytes: int) -> None:
        self._decode = decode
        self._sample_bytes = sample_bytes
        self._begun = False
        self._waiting = b""

    def push(self, data: bytes) -> bytes:
        data = self._waiting + data
        if not self._begun:
            if len(data) < 4:
                self._waiting = data
                return b""
            for begin, name in CONTAINERS.items():
                if data.startswith(begin):
                    raise MalformedAudio(f"the stream is {name}, not bare samples")
            self._begun = True
        whole = len(data) - len(data) % self._sample_bytes
        self._waiting = data[whole:]
        return self._decode(data[:whole])

    def flush(self) -> bytes:
        if len(self._waiting) % self._sample_bytes:
            raise MalformedAudio("the stream ends within a sample")
        return self._decode(self._waiting)


def _alaw(data: bytes) -> bytes:
    """G.711 A-law to 16-bit PCM, by the table of all its values."""
    return ALAW_DECODED[np.frombuffer(data, np.uint8)].tobytes()


def _alaw_decoded() -> NDArray[np.int16]:
    """The 16-bit value of each of the 256 codes (ITU-T G.711, table 1)."""
    codes = np.arange(256, dtype=np.uint8) ^ 0x55
    segment, mantissa = codes >> 4 & 7, (codes & 15).astype(int)
    magnitude = np.where(segment == 0, 16 * mantissa + 8, (16 * mantissa + 264) << np.maximum(segment, 1) - 1)
    return np.where(codes & 128, magnitude, -magnitude).astype(np.int16)


ALAW_DECODED = _alaw_decoded()
"""int16 [256]."""
