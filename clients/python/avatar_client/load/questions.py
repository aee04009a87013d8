"""What users ask by voice: recordings, and where in them somebody speaks."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from avatar_client.audio_file import AudioFile, as_samples
from avatar_client.errors import FileError

RATE_HZ: Final = 16_000
"""Rate at which users are heard: what services listen at."""
WINDOW_S: Final = 0.01
QUIET_DB: Final = 35.0
"""So far below the loudest window a window counts as silent: breath and room, not speech."""
LONGEST_S: Final = 60.0
"""Longest question; it is held in memory, and services end a longer utterance by themselves."""
DEFAULT: Final = Path(__file__).parent / "assets" / "question.ogg"


@dataclass(frozen=True, slots=True)
class Question:
    """A recording: 16-bit mono samples at 16 kHz, and the seconds between which there is speech."""

    pcm: bytes
    speech_begins_s: float
    speech_ends_s: float

    @classmethod
    def of(cls, path: Path) -> "Question":
        """The recording in a file. Raises FileError for one that is no sound, silent, or longer than a minute."""
        file = AudioFile(path)
        longest_bytes = round(2 * RATE_HZ * LONGEST_S)
        pcm = bytearray()
        for piece in file.pieces(RATE_HZ):
            pcm += piece
            if len(pcm) > longest_bytes:
                raise FileError(f"{path}: is longer than {LONGEST_S:.0f} s; give a question of a few seconds")
        begins_s, ends_s = _speech(bytes(pcm), path)
        return cls(bytes(pcm), begins_s, ends_s)


@cache
def default_question() -> Question:
    """The recorded question that comes with the client."""
    return Question.of(DEFAULT)


def _speech(pcm: bytes, path: Path) -> tuple[float, float]:
    """From the first to the last window that is not silent."""
    size = round(WINDOW_S * RATE_HZ)
    samples = as_samples(pcm).astype(np.float64)
    windows = samples[: len(samples) // size * size].reshape(-1, size)
    power = (windows**2).mean(axis=1) if len(windows) else np.zeros(1)
    if power.max() < 1.0:
        raise FileError(f"{path}: is silent; give a recording of somebody who speaks")
    loud = np.flatnonzero(power > power.max() * 10 ** (-QUIET_DB / 10))
    return float(loud[0]) * WINDOW_S, float(loud[-1] + 1) * WINDOW_S
