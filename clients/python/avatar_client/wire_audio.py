"""Voice on the wire and as samples: LINEAR16, MULAW (G.711, 8 kHz) and OPUS (packets of 20 ms, 48 kHz).

Samples are 16-bit little-endian mono PCM, `bytes` of two a sample.
"""

from fractions import Fraction
from typing import Final, Literal

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from avatar_client.facts import AudioEncoding

OPUS_PACKET_S: Final = Fraction(20, 1000)
OPUS_RATE_HZ: Final = 48_000
MULAW_RATE_HZ: Final = 8_000
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 48_000
"""Rates of LINEAR16 that the contract allows."""
MESSAGE_BYTES: Final = 9_600
"""Longest message, 0.1 s at 48 kHz; the contract takes up to 64,000 bytes."""
OPUS_OPTIONS = {"frame_duration": "20", "application": "voip"}


class BadAudio(ValueError):
    """Bytes that do not decode; the text says what is wrong."""


def wire_rate_hz(encoding: AudioEncoding, rate_hz: int, otherwise_hz: int = 16_000) -> int:
    """The rate at which a source of `rate_hz` goes out: its own where the encoding has it, else the nearest that fits.

    `otherwise_hz` is taken for LINEAR16 above or below what the contract allows.
    """
    if encoding == "MULAW":
        return MULAW_RATE_HZ
    if encoding == "OPUS":
        return OPUS_RATE_HZ
    return rate_hz if LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ else otherwise_hz


class AudioDecoder:
    """Decodes the audio of one stream; messages are to be given in order."""

    def __init__(self, encoding: AudioEncoding, rate_hz: int) -> None:
        """Set up for `encoding` at `rate_hz`."""
        self._encoding = encoding
        self._codec: AudioCodecContext | None = None
        if encoding in ("MULAW", "OPUS"):
            self._codec = _codec("pcm_mulaw" if encoding == "MULAW" else "libopus", "r", rate_hz)
            self._resampler = AudioResampler(format="s16", layout="mono", rate=rate_hz)

    def decode(self, data: bytes) -> bytes:
        """The samples of one message. Raises BadAudio."""
        if self._codec is None:
            if len(data) % 2:
                raise BadAudio(f"LINEAR16 audio of {len(data)} bytes does not hold whole samples")
            return data
        try:
            frames = self._codec.decode(av.Packet(data))
        except av.error.FFmpegError as error:
            raise BadAudio(f"{len(data)} bytes are no {self._encoding} audio") from error
        pieces = [piece.to_ndarray()[0] for frame in frames for piece in self._resampler.resample(frame)]
        return b"".join(piece.astype("<i2").tobytes() for piece in pieces)


class AudioEncoder:
    """Encodes the samples of one stream; what does not fill an Opus packet waits for more."""

    def __init__(self, encoding: AudioEncoding, rate_hz: int) -> None:
        """Set up for samples at `rate_hz`, which `encoding` must allow."""
        self._encoding = encoding
        self._rate_hz = rate_hz
        self._rest = b""
        self._position = 0
        self._codec: AudioCodecContext | None = None
        if encoding in ("MULAW", "OPUS"):
            self._codec = _codec("pcm_mulaw" if encoding == "MULAW" else "libopus", "w", rate_hz)

    def encode(self, pcm: bytes) -> list[bytes]:
        """The messages that carry `pcm`, with what waited before it."""
        data = self._rest + pcm
        size = len(data) - len(data) % self._unit_bytes
        self._rest = data[size:]
        if not size:
            return []
        if self._codec is None:
            return _cut(data[:size])
        samples = np.frombuffer(data[:size], "<i2").astype(np.int16, copy=False)
        if self._encoding == "MULAW":
            return [message for packet in self._packets(samples) for message in _cut(packet)]
        count = self._unit_bytes // 2
        return [packet for first in range(0, len(samples), count) for packet in self._packets(samples[first:][:count])]

    def finish(self) -> list[bytes]:
        """The messages that carry what still waits, filled up with silence."""
        if not self._rest or self._encoding != "OPUS":
            return []
        return self.encode(bytes(self._unit_bytes - len(self._rest)))

    @property
    def _unit_bytes(self) -> int:
        """Samples are encoded in multiples of this."""
        return int(self._rate_hz * OPUS_PACKET_S) * 2 if self._encoding == "OPUS" else 2

    def _packets(self, samples: NDArray[np.int16]) -> list[bytes]:
        assert self._codec is not None
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = self._rate_hz, Fraction(1, self._rate_hz), self._position
        self._position += len(samples)
        return [bytes(packet) for packet in self._codec.encode(frame)]


def _cut(data: bytes) -> list[bytes]:
    return [data[first : first + MESSAGE_BYTES] for first in range(0, len(data), MESSAGE_BYTES)]


def _codec(name: str, mode: Literal["r", "w"], rate_hz: int) -> AudioCodecContext:
    """A mono codec of 16-bit samples."""
    codec = av.CodecContext.create(name, mode)
    assert isinstance(codec, AudioCodecContext)
    codec.sample_rate, codec.layout = rate_hz, "mono"
    if mode == "w":
        codec.format, codec.time_base = "s16", Fraction(1, rate_hz)
        if name == "libopus":
            codec.options = OPUS_OPTIONS
    return codec
