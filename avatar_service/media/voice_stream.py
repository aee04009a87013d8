"""A voice as its vendor streams it, in any of the vendor's formats, to mono 16-bit PCM."""

from typing import Protocol

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
        """The rest, after the last piece; of a stream that was cut off, what can be decoded."""


def voice_decoder(codec: str, rate_hz: int) -> VoiceDecoder:
    """A decoder for a stream of "pcm", "ulaw", "mp3" or "opus" (in Ogg) at `rate_hz`. Raises ValueError for others."""
    match codec:
        case "pcm":
            return _SampleDecoder(AudioEncoding.LINEAR16, rate_hz, 2)
        case "ulaw":
            return _SampleDecoder(AudioEncoding.MULAW, MULAW_RATE_HZ, 1)
        case "mp3":
            return Mp3Decoder(rate_hz)
        case "opus":
            return OggOpusDecoder()
    raise ValueError(f"{codec}: a voice can be streamed as pcm, ulaw, mp3 or opus")


class _SampleDecoder:
    """Bare samples; a piece may end within one."""

    def __init__(self, encoding: AudioEncoding, rate_hz: int, sample_bytes: int) -> None:
        self._decoder = AudioDecoder(encoding, rate_hz)
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
        return self._decoder.decode(data[:whole])

    def flush(self) -> bytes:
        whole = len(self._waiting) - len(self._waiting) % self._sample_bytes
        return self._decoder.decode(self._waiting[:whole])
