"""Reading audio files: WAV, FLAC, MP3, Ogg (Vorbis, Opus) and what else libav decodes, as mono 16-bit samples.

A file is decoded as it is sent: only a piece of it is in memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from avatar_client.errors import FileError

ACCEPTED: Final = "give a WAV, FLAC, MP3 or Ogg file"
PIECE_S: Final = 0.04  # audio a message; the contract advises 20 ms to 100 ms


class AudioFile:
    """An audio file; its channels are averaged.

    `rate_hz` is its own rate, `duration_s` its length in seconds as its header has it, None if it does not say.
    """

    def __init__(self, path: Path) -> None:
        """Look into `path`. Raises FileError, naming what was found and what is accepted, unless it holds sound."""
        self.path = path
        _check_is_file(path)
        with self._open() as (container, stream):
            self.rate_hz: int = stream.rate
            duration = container.duration
            self.duration_s = None if duration is None else duration / av.time_base
            if next(container.decode(stream), None) is None:
                raise FileError(f"{path}: holds no audio samples; record it again or choose another file")

    def pieces(self, rate_hz: int = 0, *, piece_s: float = PIECE_S, closing_s: float = 0.0) -> Iterator[bytes]:
        """The samples at `rate_hz` (0: the file's own), then `closing_s` of silence, in pieces of `piece_s`.

        The last piece may be shorter. Resampling moves nothing: sample times stay what they were. Raises FileError
        where the file is damaged.
        """
        rate_hz = rate_hz or self.rate_hz
        size = 2 * max(1, round(piece_s * rate_hz))
        waiting = bytearray()
        for pcm in chain(self._decode(rate_hz), [bytes(2 * round(closing_s * rate_hz))]):
            waiting += pcm
            while len(waiting) >= size:
                yield bytes(waiting[:size])
                del waiting[:size]
        if waiting:
            yield bytes(waiting)

    def _decode(self, rate_hz: int) -> Iterator[bytes]:
        with self._open() as (container, stream):
            resampler = AudioResampler(format="s16", layout="mono", rate=rate_hz)
            for frame in container.decode(stream):
                for piece in resampler.resample(frame):
                    yield piece.to_ndarray()[0].astype("<i2", copy=False).tobytes()
            for piece in resampler.resample(None):
                yield piece.to_ndarray()[0].astype("<i2", copy=False).tobytes()

    @contextmanager
    def _open(self) -> Iterator[tuple[InputContainer, AudioStream]]:
        """The file and its sound; libav's errors come out as FileError."""
        try:
            # With the protocol before it, a name with a colon is no address.
            with av.open(f"file:{self.path}") as container:
                if not container.streams.audio:
                    raise FileError(f"{self.path}: holds {_found(container)} but no sound; {ACCEPTED}")
                yield container, container.streams.audio[0]
        except (av.error.InvalidDataError, av.error.EOFError) as error:
            raise FileError(f"{self.path}: is not an audio file, or is damaged; {ACCEPTED}") from error
        except (av.error.FFmpegError, OSError) as error:
            raise FileError(f"{self.path}: cannot be read ({error.strerror}); {ACCEPTED}") from error


def _check_is_file(path: Path) -> None:
    """Raise FileError unless there is a file with something in it."""
    if path.is_dir():
        raise FileError(f"{path}: is a folder; {ACCEPTED}")
    if not path.exists():
        raise FileError(f"{path}: no such file; {ACCEPTED}")
    if path.is_file() and path.stat().st_size == 0:
        raise FileError(f"{path}: is empty; {ACCEPTED}")


def _found(container: InputContainer) -> str:
    """What a file holds instead of sound, in words."""
    kinds = {"video": "video", "subtitle": "text", "data": "data", "attachment": "attachments"}
    if container.format.name == "image2" or container.format.name.endswith("_pipe"):
        return "a picture"
    if container.format.name == "tty":
        return "text"
    return " and ".join(sorted({kinds.get(stream.type, stream.type) for stream in container.streams})) or "nothing"


def as_samples(pcm: bytes) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """16-bit little-endian mono `pcm` as an array [n]."""
    return np.frombuffer(pcm, "<i2").astype(np.int16, copy=False)
