"""Writing what an avatar said and showed to an MP4 file: H.264 at the stream's exact frame rate and AAC at 48 kHz."""

import math
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from avatar_client.errors import FileError
from avatar_client.frames import Picture, with_caption

AUDIO_RATE_HZ = 48_000
AUDIO_BITS_PER_SECOND = 128_000
# Half the CPU time of "veryfast": a recording must not slow down a service on the same machine.
VIDEO_OPTIONS = {"preset": "ultrafast", "crf": "20"}


class Mp4File:
    """An MP4 file that grows turn by turn; each turn follows the one before without a gap.

    Within a turn, frame i is shown at i divided by the frame rate: a missing frame repeats the one before it, and a
    turn's voice and pictures are made equally long. Blocking; not for use by two threads at a time. The file appears
    under its name when it is complete.
    """

    def __init__(self, path: Path, frame_rate: Fraction, width: int, height: int, sample_rate_hz: int) -> None:
        """Open `path` for pictures of `width` by `height` and for speech at `sample_rate_hz`; raises FileError."""
        check_writable(path)
        self._path = path
        self._part = path.with_name(f".{path.stem}.part.mp4")
        self._frame_rate = frame_rate
        self._sample_rate_hz = sample_rate_hz
        self._container = av.open(str(self._part), "w", format="mp4", options={"movflags": "+faststart"})
        self._video = self._container.add_stream("libx264", rate=frame_rate, options=VIDEO_OPTIONS)
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        self._audio = self._container.add_stream("aac", rate=AUDIO_RATE_HZ, layout="mono")
        self._audio.bit_rate = AUDIO_BITS_PER_SECOND
        self._resampler = AudioResampler(format="fltp", layout="mono", rate=AUDIO_RATE_HZ)
        self._picture: Picture = np.zeros((height, width, 3), np.uint8)
        self._has_picture = False
        self._caption = ""
        self._frames = 0  # written before this turn
        self._samples = 0
        self._turn_frames = 0
        self._turn_samples = 0
        self._encoded_samples = 0  # at 48 kHz
        self._closed = False

    @property
    def duration_s(self) -> float:
        """Length of what is recorded, the turn that is under way included."""
        return float((self._frames + self._turn_frames) / self._frame_rate)

    def __enter__(self) -> Self:
        """Return the file itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the file, with what there is."""
        self.close()

    def show(self, picture: Picture) -> None:
        """Remember a picture from outside any turn: it stands in until the next turn's first frame."""
        self._picture, self._has_picture = picture, True

    def begin_turn(self, caption: str = "") -> None:
        """End the turn before and begin the next; `caption` is shown in its pictures."""
        self.end_turn()
        self._caption = caption

    def add_audio(self, samples: NDArray[np.int16]) -> None:
        """Append speech, int16 [n], to the turn."""
        self._write_audio(samples)
        self._turn_samples += len(samples)

    def add_frame(self, index: int, picture: Picture) -> None:
        """Show `picture` as frame `index` of the turn; one that is already past is ignored."""
        if index < self._turn_frames:
            return
        if not self._has_picture:
            self.show(picture)  # the very first frame is missing: show this one early rather than black
        self._repeat_until(index)
        self.show(picture)
        self._repeat_until(index + 1)

    def add_idle_frame(self, index: int, picture: Picture) -> None:
        """Show `picture` as frame `index` of a turn in which nothing is said."""
        self.add_frame(index, picture)
        self._write_silence()

    def end_turn(self) -> None:
        """Make the turn's voice and pictures equally long."""
        frames = max(
            self._turn_frames, math.ceil(Fraction(self._turn_samples, self._sample_rate_hz) * self._frame_rate)
        )
        self._repeat_until(frames)
        self._write_silence()
        self._frames += frames
        self._samples += self._turn_samples
        self._turn_frames = self._turn_samples = 0
        self._caption = ""

    def close(self) -> None:
        """End the turn, finish the file and give it its name; a recording without any frame leaves no file."""
        if self._closed:
            return
        self._closed = True
        self.end_turn()
        self._encode_audio(self._resampler.resample(None))
        self._container.mux(self._audio.encode(None))
        self._container.mux(self._video.encode(None))
        self._container.close()
        if self._frames:
            self._part.replace(self._path)
        else:
            self._part.unlink(missing_ok=True)  # without a frame the library may not have made the file

    def _repeat_until(self, frames: int) -> None:
        """Show the last picture until the turn has `frames` frames."""
        if frames <= self._turn_frames:
            return
        frame = av.VideoFrame.from_ndarray(with_caption(self._picture, self._caption), format="rgb24")
        for index in range(self._turn_frames, frames):
            frame.pts = self._frames + index
            frame.time_base = 1 / self._frame_rate
            self._container.mux(self._video.encode(frame))
        self._turn_frames = frames

    def _write_silence(self) -> None:
        """Append silence to the turn until its voice is as long as its pictures."""
        # Counted from the start, so that a sample rate that does not divide by the frame rate adds up to no drift.
        due = math.floor((self._frames + self._turn_frames) * self._sample_rate_hz / self._frame_rate)
        silence = due - self._samples - self._turn_samples
        if silence > 0:
            self.add_audio(np.zeros(silence, np.int16))

    def _write_audio(self, samples: NDArray[np.int16]) -> None:
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = self._sample_rate_hz
        self._encode_audio(self._resampler.resample(frame))

    def _encode_audio(self, frames: list[av.AudioFrame]) -> None:
        for frame in frames:
            # Without times of its own the encoder's priming block (1,024 samples) is not cut off in the file.
            frame.pts, frame.time_base = self._encoded_samples, Fraction(1, AUDIO_RATE_HZ)
            self._encoded_samples += frame.samples
            self._container.mux(self._audio.encode(frame))


def check_writable(path: Path) -> None:
    """Raise FileError unless an MP4 file can be written to `path`."""
    if path.suffix.lower() != ".mp4":
        raise FileError(f"{path}: only MP4 files can be written; give a name that ends in .mp4")
    if path.is_dir():
        raise FileError(f"{path}: is a folder; give the name of a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.with_name(f".{path.stem}.part.mp4")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
