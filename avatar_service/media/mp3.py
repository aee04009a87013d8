"""MP3 as it streams in to PCM, its words where they were before they were encoded.

LAME puts 576 samples in front, a decoder 529 more, and behind the voice comes padding up to a whole frame. A header
frame (Xing, Info) tells all of that exactly, but an encoder that streams cannot write one: then the usual delay is
taken off, and at the end what is quiet and no longer than padding can be.
"""

import contextlib
from collections.abc import Iterable

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from numpy.typing import NDArray

from avatar_service.media.wire_audio import MalformedAudio

ENCODER_DELAY = 576
"""Samples that LAME puts in front (its technical FAQ, and FFmpeg's initial padding less the decoder's share)."""
DECODER_DELAY = 529
"""Samples by which every MP3 decoder is late: 528 of its filter bank and one."""
SHORTEST_PADDING = 47
"""Fewest samples behind the voice once the decoder's delay is taken off: LAME pads with at least 576."""
QUIET = 32
"""Loudest sample of padding, -60 dB of full scale: encoded silence rings a little."""
TAG_HEADER_BYTES = 10
"""Length of the header of an ID3v2 tag."""
LARGEST_TAG_BYTES = 1_048_576
"""Longest tag that is read over."""


class Mp3Decoder:
    """Decodes one MP3 stream, split anywhere, to mono 16-bit PCM."""

    def __init__(self, rate_hz: int) -> None:
        """`rate_hz` is the rate that the stream must have."""
        self._rate_hz = rate_hz
        context = av.CodecContext.create("mp3float", "r")
        assert isinstance(context, AudioCodecContext)
        self._context = context
        self._tagged: bytearray | None = bytearray()
        self._first = True
        self._skip = ENCODER_DELAY + DECODER_DELAY
        self._left: int | None = None
        """Samples of voice that are still to come; None if no header frame told."""
        self._quiet = np.zeros(0, np.int16)
        """What may be padding: the newest samples, if they are quiet."""
        self._longest_padding = 0

    def push(self, data: bytes) -> bytes:
        """The PCM that is complete with these bytes. Raises MalformedAudio if they are not MP3 at the right rate."""
        if self._tagged is not None:
            self._tagged += data
            data = self._without_tag()
        try:
            return self._decode(self._context.parse(data)) if data else b""
        except av.FFmpegError as error:
            raise MalformedAudio("a frame of the MP3 stream is damaged") from error

    def flush(self) -> bytes:
        """The rest; of a stream that was cut off, what can be decoded."""
        rest = b""
        with contextlib.suppress(av.FFmpegError):
            rest = self._decode([*self._context.parse(None), None])
        if len(self._quiet) < self._longest_padding:
            return rest
        # The voice itself ends in silence, so nothing shows where padding begins: half of its longest is the mean.
        return rest + self._quiet[: -(SHORTEST_PADDING + self._longest_padding) // 2].tobytes()

    def _without_tag(self) -> bytes:
        """The bytes behind the ID3 tag, if there is one and it is complete; then there is no more waiting."""
        assert self._tagged is not None
        begin = 0
        if len(self._tagged) < TAG_HEADER_BYTES:
            return b""
        if self._tagged.startswith(b"ID3"):
            begin = TAG_HEADER_BYTES + _synchsafe(bytes(self._tagged[6:10]))
            if begin > LARGEST_TAG_BYTES:
                raise MalformedAudio(f"the MP3 stream begins with a tag of {begin} bytes")
        if len(self._tagged) < begin + 2:
            return b""
        if self._tagged[begin] != 0xFF or self._tagged[begin + 1] < 0xE0:
            raise MalformedAudio("the stream does not begin with a frame of MP3")
        data, self._tagged = bytes(self._tagged[begin:]), None
        return data

    def _decode(self, packets: "Iterable[Packet[AudioStream] | None]") -> bytes:
        pieces: list[bytes] = []
        for packet in packets:
            if self._first and packet is not None:
                self._first = False
                if self._take_header(bytes(packet)):
                    continue
            pieces += [self._voice(self._samples(frame)) for frame in self._context.decode(packet)]
        return b"".join(pieces)

    def _samples(self, frame: AudioFrame) -> NDArray[np.int16]:
        if frame.sample_rate != self._rate_hz:
            raise MalformedAudio(f"the MP3 stream has {frame.sample_rate} Hz, not {self._rate_hz} Hz")
        self._longest_padding = SHORTEST_PADDING - 1 + frame.samples
        mono = frame.to_ndarray().mean(axis=0)  # float32 [channels, samples] -> [samples]
        pcm: NDArray[np.int16] = np.clip(np.rint(mono * 32_768), -32_768, 32_767).astype(np.int16)
        return pcm

    def _voice(self, samples: NDArray[np.int16]) -> bytes:
        """What of the next samples is voice for certain."""
        skipped = min(self._skip, len(samples))
        self._skip -= skipped
        samples = samples[skipped:]
        if self._left is not None:
            samples = samples[: self._left]
            self._left -= len(samples)
            return samples.tobytes()
        samples = np.concatenate([self._quiet, samples])
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET)
        end = max(loud[-1] + 1 if loud.size else 0, len(samples) - self._longest_padding)
        self._quiet = samples[end:]
        return samples[:end].tobytes()

    def _take_header(self, frame: bytes) -> bool:
        """Whether the first frame is no sound but a header; then take the delay and the length from it."""
        mpeg1, mono = frame[1] & 8, frame[3] >> 6 == 3
        begin = 4 + ((17 if mono else 32) if mpeg1 else (9 if mono else 17))
        if frame[begin : begin + 4] not in (b"Xing", b"Info"):
            return False
        flags = frame[begin + 7]
        fields = begin + 8 + sum(size for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
        # The part that LAME added: 21 bytes of other things, then 12 bits of delay and 12 of padding.
        delays = int.from_bytes(frame[fields + 21 : fields + 24], "big")
        if delays and flags & 1:
            delay, padding = delays >> 12, delays & 0xFFF
            frames = int.from_bytes(frame[begin + 8 : begin + 12], "big")
            self._skip = delay + DECODER_DELAY
            self._left = max(0, frames * (1152 if mpeg1 else 576) - delay - padding)
        return True


def _synchsafe(size: bytes) -> int:
    """The number in four bytes of 7 bits each (ID3v2.4, 6.2)."""
    number = 0
    for byte in size:
        number = number << 7 | byte & 0x7F
    return number
