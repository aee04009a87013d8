"""Speech in any of the output formats, as a stream: resampled, cut into pieces of 20 ms, encoded.

MP3 leaves as LAME makes it behind an ID3 tag and without a header that tells the encoder's delay, which is how a stream
without a known end looks: decoded, it begins with about 1,105 samples that were not there. Opus leaves as Ogg pages of
one packet, with the delay told in its header.
"""

import io
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import av
import numpy as np

from avatar_service.sandbox.audio import Resampler, Samples, to_pcm16
from avatar_service.sandbox.speech_formats import Codec, SpeechFormat

PIECE_S: Final = 0.02
"""Speech leaves in pieces of this duration: one Opus packet."""


@dataclass(frozen=True, slots=True)
class SpeechPiece:
    """Encoded bytes (never empty) and the span of the speech, in seconds, during which they were made."""

    data: bytes
    start_s: float
    end_s: float


class SpeechEncoder:
    """Encodes the speech of one answer. Not thread-safe; used by one thread at a time."""

    def __init__(self, output_format: SpeechFormat, source_rate_hz: float, *, goes_on: bool = False) -> None:
        """``goes_on`` makes a stream that can stand behind another one of its format."""
        self._rate_hz = output_format.rate_hz
        self._resampler = Resampler(source_rate_hz, output_format.rate_hz)
        self._codec = _CODECS[output_format.codec](output_format, goes_on)
        self._position = 0  # samples at the format's rate that were encoded
        self._rest = np.zeros(0, np.float32)
        self._source_rate_hz = source_rate_hz
        self._source_samples = 0

    @property
    def source_s(self) -> float:
        """Seconds of speech that were taken in; more than were encoded, as the resampler holds some back."""
        return self._source_samples / self._source_rate_hz

    @property
    def duration_s(self) -> float:
        """Seconds of speech that were encoded."""
        return self._position / self._rate_hz

    def encode(self, samples: Samples, *, last: bool) -> list[SpeechPiece]:
        """Return the pieces of samples [n] at the source's rate; ``last`` ends the stream and pads nothing."""
        self._source_samples += len(samples)
        speech = np.concatenate([self._rest, self._resampler.resample(samples, last=last)])  # [n] at the format's rate
        size = round(PIECE_S * self._rate_hz)
        whole = len(speech) if last else len(speech) - len(speech) % size
        self._rest = speech[whole:]
        pieces = []
        for start in range(0, whole, size):
            piece = speech[start : min(whole, start + size)]
            begin_s = self.duration_s
            data = self._codec.encode(piece)
            self._position += len(piece)
            if last and start + size >= whole:
                data += self._codec.end()
            if data:
                pieces.append(SpeechPiece(data, begin_s, self.duration_s))
        if last and not whole and (data := self._codec.end()):
            pieces.append(SpeechPiece(data, self.duration_s, self.duration_s))
        return pieces


class _Pcm:
    """Signed 16-bit little-endian samples, and nothing else."""

    def __init__(self, output_format: SpeechFormat, goes_on: bool) -> None:
        del output_format, goes_on  # one encoding for all rates, and no header

    def encode(self, samples: Samples) -> bytes:
        return to_pcm16(samples)

    def end(self) -> bytes:
        return b""


class _Wav:
    """A whole WAV file, which leaves at the end."""

    def __init__(self, output_format: SpeechFormat, goes_on: bool) -> None:
        del goes_on  # a file of its own
        self._rate_hz = output_format.rate_hz
        self._pcm = bytearray()

    def encode(self, samples: Samples) -> bytes:
        self._pcm += to_pcm16(samples)
        return b""

    def end(self) -> bytes:
        file = io.BytesIO()
        with wave.open(file, "wb") as recording:
            recording.setnchannels(1)
            recording.setsampwidth(2)
            recording.setframerate(self._rate_hz)
            recording.writeframes(bytes(self._pcm))
        return file.getvalue()


@dataclass(frozen=True, slots=True)
class _Muxing:
    """FFmpeg's names for a codec and its container."""

    container: str
    encoder: Literal["libmp3lame", "libopus", "pcm_mulaw", "pcm_alaw"]
    container_options: Mapping[str, str] = field(default_factory=dict)
    later_options: Mapping[str, str] = field(default_factory=dict)
    """Besides them, those of a stream behind another one."""


_MUXING: Final[Mapping[Codec, _Muxing]] = {
    "mp3": _Muxing("mp3", "libmp3lame", later_options={"id3v2_version": "0"}),  # decoders expect no tag inside
    "opus": _Muxing("ogg", "libopus", {"page_duration": "20000"}),  # microseconds; by default a page waits for 1 s
    "ulaw": _Muxing("mulaw", "pcm_mulaw"),
    "alaw": _Muxing("alaw", "pcm_alaw"),
}


class _Muxed:
    """A codec of FFmpeg's in its container."""

    def __init__(self, output_format: SpeechFormat, goes_on: bool) -> None:
        muxing = _MUXING[output_format.codec]
        later_options = muxing.later_options if goes_on else {}
        self._rate_hz = output_format.rate_hz
        self._sink = _Sink()
        self._container = av.open(
            self._sink,
            "w",
            format=muxing.container,
            container_options={"flush_packets": "1", **muxing.container_options, **later_options},
        )
        self._stream = self._container.add_stream(muxing.encoder, rate=self._rate_hz, layout="mono")
        if output_format.bit_rate:
            self._stream.bit_rate = output_format.bit_rate
        self._position = 0

    def encode(self, samples: Samples) -> bytes:
        """Return the bytes that are complete; an encoder may hold the newest samples back."""
        frame = av.AudioFrame.from_ndarray(np.clip(samples, -1.0, 1.0)[None, :], format="flt", layout="mono")  # [1, n]
        frame.rate = self._rate_hz
        frame.pts = self._position
        self._position += len(samples)
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
        return self._sink.take()

    def end(self) -> bytes:
        """Return the rest."""
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._container.close()
        return self._sink.take()


class _Sink:
    """What a container writes to. Without ``seek``, so that no header is written again at the end."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: bytes) -> int:
        self._bytes += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken


_CODECS: Final[Mapping[Codec, Callable[[SpeechFormat, bool], _Pcm | _Wav | _Muxed]]] = {
    "pcm": _Pcm,
    "wav": _Wav,
    "mp3": _Muxed,
    "ulaw": _Muxed,
    "alaw": _Muxed,
    "opus": _Muxed,
}
