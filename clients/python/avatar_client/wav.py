"""Reading WAV files: any rate, any number of channels, 8 to 32 bits, as one channel of 16-bit samples."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from avatar_client.errors import FileError

CONVERT = "convert it with `ffmpeg -i {path} question.wav`"


@dataclass(frozen=True, slots=True)
class WavAudio:
    """Mono audio: `samples` int16 [n] at `rate_hz`."""

    samples: NDArray[np.int16]
    rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate_hz


def read_wav(path: Path) -> WavAudio:
    """Read `path` as mono at its own rate; channels are averaged.

    Raises FileError, naming the file, the problem and the way out, for anything but a WAV file with audio in it.
    """
    if not path.is_file():
        raise FileError(f"{path}: no such file; give the path of a WAV file")
    try:
        return _decode(path)
    except av.error.InvalidDataError as error:
        way_out = CONVERT.format(path=path)
        raise FileError(f"{path}: not a WAV file; {way_out} if it is audio, or choose another file") from error
    except (av.error.FFmpegError, PermissionError) as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); choose another file") from error


def resample(audio: WavAudio, rate_hz: int) -> WavAudio:
    """The same audio at `rate_hz`."""
    if rate_hz == audio.rate_hz:
        return audio
    frame = av.AudioFrame.from_ndarray(audio.samples[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = audio.rate_hz
    resampler = AudioResampler(format="s16", layout="mono", rate=rate_hz)
    pieces = [piece.to_ndarray()[0] for source in (frame, None) for piece in resampler.resample(source)]
    return WavAudio(np.concatenate(pieces).astype(np.int16), rate_hz)


def _decode(path: Path) -> WavAudio:
    with av.open(str(path), format="wav") as container:
        if not container.streams.audio:
            raise FileError(f"{path}: holds no audio; choose another file")
        stream = container.streams.audio[0]
        rate_hz = stream.rate
        resampler = AudioResampler(format="s16", layout="mono", rate=rate_hz)
        pieces = [piece.to_ndarray()[0] for frame in container.decode(stream) for piece in resampler.resample(frame)]
    if not pieces:
        raise FileError(f"{path}: holds no audio samples; record it again or choose another file")
    return WavAudio(np.concatenate(pieces).astype(np.int16), rate_hz)
