"""Audio as it goes over the wire: encodings to 16-bit mono PCM and back.

LINEAR16 and MULAW (G.711) take no time and hold nothing back. OPUS is decoded and encoded by libopus, one packet a
message, and has a delay: a sound comes out of encoding and decoding 6.5 ms later than it went in, at any rate and any
bits a second (measured: an impulse moves by 6.5 ms, noise by 6.46 to 6.58 ms). Offsets do not correct it, so lips are
6.5 ms ahead of an Opus voice. For a voice's last 6.5 ms not to be lost, as much silence must follow it: `delay_s`.

A second of voice costs 8 to 14 ms of a core to encode as OPUS and 1 to 2 ms to decode, 0.1 ms as MULAW; an encoder has
about 70 KB.
"""

from enum import Enum, auto
from typing import Protocol

import av
import numpy as np
from numpy.typing import NDArray

OPUS_RATE_HZ = 48_000
"""Rate at which libopus decodes, whatever was encoded, and the rate of Opus's clock on the wire (RFC 7587, 4.1)."""
OPUS_ENCODED_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
"""Rates that libopus encodes."""
OPUS_PACKET_S = 0.02
"""Length of the packets that are made."""
OPUS_LONGEST_MS = 120
"""Longest legal packet (RFC 6716, 3.2)."""
OPUS_BITS_PER_SECOND = 32_000
"""Default: wide-band speech without audible loss."""
OPUS_DELAY_S = 312 / 48_000
"""What the encoder looks ahead: 312 samples of 48 kHz, as it tells itself in the pre-skip of its header."""
MULAW_RATE_HZ = 8_000
"""The only rate of G.711."""


class MalformedAudio(ValueError):
    """Bytes of a stream are not what its encoding says; the text says what is wrong."""


class AudioEncoding(Enum):
    """How the bytes of a stream hold its sound."""

    LINEAR16 = auto()
    MULAW = auto()
    OPUS = auto()

    @property
    def delay_s(self) -> float:
        """Seconds by which a sound that was encoded and decoded is late."""
        return OPUS_DELAY_S if self is AudioEncoding.OPUS else 0.0


class AudioDecoder:
    """Decodes one stream of audio, message by message, to mono 16-bit PCM at `rate_hz`."""

    def __init__(self, encoding: AudioEncoding, rate_hz: int) -> None:
        """`rate_hz` is that of the stream. Raises ValueError where the encoding has no such rate."""
        _check_rate(encoding, rate_hz, (OPUS_RATE_HZ,))
        self.rate_hz = rate_hz
        self._decoder = _DECODERS[encoding]()

    def decode(self, data: bytes) -> bytes:
        """The PCM of one message. Raises MalformedAudio, after which the stream can go on with the next message."""
        return self._decoder.decode(data)


class AudioEncoder:
    """Encodes the voice of one turn, speech chunk by speech chunk. Holds an encoder of libopus with OPUS: drop it after
    the turn."""

    def __init__(self, encoding: AudioEncoding, rate_hz: int, bits_per_second: int = OPUS_BITS_PER_SECOND) -> None:
        """`rate_hz` is that of the chunks; `bits_per_second`, 6,000 to 128,000, is for OPUS alone.

        Raises ValueError where the encoding has no such rate or bits a second.
        """
        _check_rate(encoding, rate_hz, OPUS_ENCODED_RATES_HZ)
        self._encoder: _Encoder
        match encoding:
            case AudioEncoding.LINEAR16:
                self._encoder = _Linear16()
            case AudioEncoding.MULAW:
                self._encoder = _Mulaw()
            case AudioEncoding.OPUS:
                self._encoder = _OpusEncoder(rate_hz, bits_per_second)

    def encode(self, pcm: bytes) -> list[tuple[bytes, int]]:
        """The messages of one speech chunk in order, each with the samples that it decodes to on the wire's clock.

        LINEAR16 and MULAW make one message a chunk, OPUS one each 20 ms; chunks must then last a multiple of 20 ms.
        """
        return self._encoder.encode(pcm)


class _Encoder(Protocol):
    def encode(self, pcm: bytes) -> list[tuple[bytes, int]]: ...


class _Linear16:
    """Bytes as they are."""

    def decode(self, data: bytes) -> bytes:
        if len(data) % 2:
            raise MalformedAudio(f"{len(data)} bytes of LINEAR16 end within a sample; send 2 bytes a sample")
        return data

    def encode(self, pcm: bytes) -> list[tuple[bytes, int]]:
        return [(pcm, len(pcm) // 2)]


class _Mulaw:
    """G.711 mu-law, by tables of all its values."""

    def decode(self, data: bytes) -> bytes:
        return MULAW_DECODED[np.frombuffer(data, np.uint8)].tobytes()

    def encode(self, pcm: bytes) -> list[tuple[bytes, int]]:
        samples = np.frombuffer(pcm, np.uint16)  # the table's order: 0 to 32,767, then -32,768 to -1
        return [(MULAW_ENCODED[samples].tobytes(), len(samples))]


class _OpusDecoder:
    """Packets of any legal length to 48 kHz; libopus itself folds stereo packets down to mono."""

    def __init__(self) -> None:
        self._context = av.CodecContext.create("libopus", "r")
        self._context.layout = "mono"

    def decode(self, data: bytes) -> bytes:
        milliseconds = _opus_packet_ms(data)
        if not 0 < milliseconds <= OPUS_LONGEST_MS:
            raise MalformedAudio(
                f"an OPUS packet of {milliseconds:g} ms: packets of RFC 6716 are at most {OPUS_LONGEST_MS} ms long"
            )
        try:
            frames = self._context.decode(av.Packet(data))
        except av.FFmpegError as error:
            raise MalformedAudio(
                f"{len(data)} bytes are not an OPUS packet; send one whole packet of RFC 6716 a message"
            ) from error
        return b"".join(frame.to_ndarray().astype(np.int16, copy=False).tobytes() for frame in frames)


class _OpusEncoder:
    """Packets of 20 ms, tuned for speech."""

    def __init__(self, rate_hz: int, bits_per_second: int) -> None:
        if not 6_000 <= bits_per_second <= 128_000:
            raise ValueError(f"{bits_per_second} bits a second: OPUS takes 6,000 to 128,000")
        self._context = av.CodecContext.create("libopus", "w")
        self._context.layout = "mono"
        self._context.sample_rate = self._rate_hz = rate_hz
        self._context.format = "s16"
        self._context.bit_rate = bits_per_second
        self._context.options = {"application": "voip", "frame_duration": "20"}
        self._size = int(rate_hz * OPUS_PACKET_S)
        self._encoded = 0

    def encode(self, pcm: bytes) -> list[tuple[bytes, int]]:
        if len(pcm) % (2 * self._size):
            raise ValueError(
                f"{len(pcm) // 2} samples at {self._rate_hz} Hz are not a multiple of 20 ms, as OPUS needs"
            )
        samples = np.frombuffer(pcm, np.int16).reshape(-1, 1, self._size)  # [packets, channels, samples]
        return [(data, int(OPUS_RATE_HZ * OPUS_PACKET_S)) for packet in samples for data in self._packets(packet)]

    def _packets(self, samples: NDArray[np.int16]) -> list[bytes]:
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = self._rate_hz
        frame.pts = self._encoded
        self._encoded += self._size
        return [bytes(packet) for packet in self._context.encode(frame)]


_DECODERS: dict[AudioEncoding, type[_Linear16] | type[_Mulaw] | type[_OpusDecoder]] = {
    AudioEncoding.LINEAR16: _Linear16,
    AudioEncoding.MULAW: _Mulaw,
    AudioEncoding.OPUS: _OpusDecoder,
}


def _check_rate(encoding: AudioEncoding, rate_hz: int, opus_rates_hz: tuple[int, ...]) -> None:
    allowed = {AudioEncoding.MULAW: (MULAW_RATE_HZ,), AudioEncoding.OPUS: opus_rates_hz}.get(encoding)
    if allowed and rate_hz not in allowed:
        raise ValueError(f"{encoding.name} at {rate_hz} Hz: it has {', '.join(map(str, allowed))} Hz")


def _opus_packet_ms(data: bytes) -> float:
    """How long a packet lasts, from its first bytes (RFC 6716, 3.1 and 3.2.5). Raises MalformedAudio."""
    if data.startswith(b"OggS"):
        raise MalformedAudio("an Ogg page is not an OPUS packet; send the packets without their container")
    if not data:
        raise MalformedAudio("an OPUS packet has at least 1 byte")
    config, code = data[0] >> 3, data[0] & 3
    if code == 3 and len(data) < 2:
        raise MalformedAudio("the OPUS packet is cut off after its first byte")
    frames = {0: 1, 1: 2, 2: 2}[code] if code < 3 else data[1] & 0x3F
    if config < 12:  # SILK
        return (10, 20, 40, 60)[config % 4] * frames
    if config < 16:  # hybrid
        return (10, 20)[config % 2] * frames
    return (2.5, 5, 10, 20)[config % 4] * frames  # CELT


def _mulaw_decoded() -> NDArray[np.int16]:
    """The 16-bit value of each of the 256 codes (ITU-T G.711, table 2)."""
    codes = ~np.arange(256, dtype=np.uint8)
    magnitude = (((codes & 15).astype(int) * 8 + 132) << (codes >> 4 & 7)) - 132
    return np.where(codes & 128, -magnitude, magnitude).astype(np.int16)


def _mulaw_encoded() -> NDArray[np.uint8]:
    """The code of each 16-bit value, indexed by the value's bits as an unsigned number."""
    values = np.arange(65_536, dtype=np.uint16).view(np.int16).astype(int) >> 2
    magnitude = np.minimum(np.abs(values), 8_158) + 33  # 14 bits with G.711's bias
    segment = np.frexp(magnitude)[1] - 6  # 0 to 7: how many bits longer than 6 it is
    codes = (segment << 4) | (magnitude >> (segment + 1) & 15)
    return np.where(values < 0, 127 - codes, 255 - codes).astype(np.uint8)


MULAW_DECODED = _mulaw_decoded()
"""int16 [256]."""
MULAW_ENCODED = _mulaw_encoded()
"""uint8 [65536]."""
