"""Audio files of every usual kind, written by libav."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from numpy.typing import NDArray

Samples = NDArray[np.int16]

CODECS = {".wav": "pcm_s16le", ".flac": "flac", ".mp3": "libmp3lame", ".ogg": "vorbis", ".opus": "libopus"}


def write_audio(path: Path, samples: Samples, rate_hz: int = 16_000) -> Path:
    """Write `samples`, mono [n] or [channels, n], in the format that the name of `path` asks for."""
    channels = np.atleast_2d(samples)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(channels)]
    with av.open(str(path), "w", options={"strict": "experimental"}) as container:
        stream = container.add_stream(CODECS[path.suffix], rate=rate_hz, layout=layout)
        assert isinstance(stream, AudioStream)
        stream.codec_context.options = {"strict": "experimental"}  # libav's own Vorbis encoder
        frame = av.AudioFrame.from_ndarray(channels.T.reshape(1, -1).copy(), format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        converter = AudioResampler(stream.codec_context.format, stream.codec_context.layout, rate_hz, stream.frame_size)
        for source in (frame, None):
            for piece in converter.resample(source):
                container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def click(at_s: float, length_s: float, rate_hz: int) -> Samples:
    """Silence with a short tone, 1 kHz for 20 ms, that begins at `at_s`."""
    samples = np.zeros(round(length_s * rate_hz), np.int16)
    times = np.arange(round(0.02 * rate_hz)) / rate_hz
    first = round(at_s * rate_hz)
    samples[first : first + len(times)] = 12_000 * np.sin(2 * np.pi * 1000 * times)
    return samples


def onset_s(samples: Samples, rate_hz: int, level: int = 3_000) -> float:
    """When `samples` first become louder than `level`."""
    return float(np.argmax(np.abs(samples.astype(int)) > level) / rate_hz)
