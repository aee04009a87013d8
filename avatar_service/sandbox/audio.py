"""Audio in and out of the models: decoding uploads, resampling, where speech begins.

Samples are mono float32 in [-1, 1]; on the wire they are signed 16-bit little-endian.
"""

import importlib
import io
from collections.abc import Iterator
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

TRANSCRIPTION_RATE_HZ: Final = 16_000
"""Whisper's rate."""

_SILENCE_LEVEL: Final = 0.01
"""-40 dBFS. The pauses that hibari renders stay below 0.001, its quietest consonants above."""


class UndecodableAudioError(ValueError):
    """An upload is not audio, or is longer than allowed; the message may go to the caller."""


def decode(upload: bytes, max_s: float) -> Samples:
    """Decode an audio file of any kind, rate and channel count to 16 kHz mono [samples]."""
    limit = int(max_s * TRANSCRIPTION_RATE_HZ)
    parts: list[NDArray[np.int16]] = []
    total = 0
    try:
        for samples in _blocks(upload):
            parts.append(samples)
            total += len(samples)
            if total > limit:
                raise UndecodableAudioError(f"The audio is longer than {max_s:g} seconds.")
    except (av.error.FFmpegError, IndexError) as error:
        raise UndecodableAudioError("The audio file could not be decoded or its format is not supported.") from error
    if not parts:
        return np.zeros(0, np.float32)
    return np.concatenate(parts).astype(np.float32) / 32768.0


def _blocks(upload: bytes) -> Iterator[NDArray[np.int16]]:
    """Yield the first audio stream as 16 kHz mono blocks [n]; ``IndexError`` if there is none."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=TRANSCRIPTION_RATE_HZ)
    with av.open(io.BytesIO(upload), mode="r", metadata_errors="ignore") as container:
        stream = container.streams.audio[0]
        for frame in container.decode(stream):
            for block in resampler.resample(frame):
                yield block.to_ndarray()[0].astype(np.int16)  # [1, n] -> [n]
        for block in resampler.resample(None):
            yield block.to_ndarray()[0].astype(np.int16)  # [1, n] -> [n]


def to_pcm16(samples: Samples) -> bytes:
    """Return signed 16-bit little-endian PCM of samples [n], clipped at full scale."""
    return bytes((np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes())


def leading_silence(samples: Samples) -> int:
    """Return how many of samples [n] come before the first that is loud; 0 if none is."""
    loud = np.flatnonzero(np.abs(samples) >= _SILENCE_LEVEL)
    return int(loud[0]) if len(loud) else 0


class Resampler:
    """Streaming resampler of mono speech; the filter's delay is compensated by soxr."""

    def __init__(self, from_hz: float, to_hz: int) -> None:
        self._stream: Any = None
        if from_hz != to_hz:
            # Of the extra `sandbox`: the commands of an installation without it import this module all the same.
            self._stream = importlib.import_module("soxr").ResampleStream(from_hz, to_hz, 1, dtype="float32")

    def resample(self, samples: Samples, *, last: bool) -> Samples:
        """Return what of samples [n] is ready; ``last`` flushes the filter."""
        if self._stream is None:
            return samples
        resampled: Samples = self._stream.resample_chunk(samples, last=last)
        return resampled
