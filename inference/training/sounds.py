"""Kinds of sounds for measuring and for pictures: a phrase that is full of each, and the frames of that sound in it.

The sounds of all phrases have the same loudness, so that what differs between their mouths is the sound alone. None of
the phrases is one that ``sentences`` can make for training.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.config import FPS, FRAME_SAMPLES
from inference.training.speech import Segment
from inference.training.voice import Phoneme, Voice

RMS = 0.04  # of every sound, full scale 1: the level of whole sentences of the bundled voice
VOWEL_S = 0.09  # shorter ones take the shape of their neighbours
CONSONANT_S = 0.045


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sound: its phonemes in hibari's alphabet, and a phrase that holds several of them."""

    symbols: str
    phrase: str
    shortest_s: float  # of a sound that is looked at


KINDS = {
    "aa": Kind("ɑ", "Not a lot of hot rocks, Don.", VOWEL_S),  # noqa: RUF001 - IPA
    "ee": Kind("i", "She needs green tea each week.", VOWEL_S),
    "oo": Kind("u", "The moon is full, choose the blue room too.", VOWEL_S),
    "mm": Kind("m", "Tim hums a warm summer hymn.", CONSONANT_S),
    "ff": Kind("fv", "If Jeff laughs, Phil coughs.", CONSONANT_S),
}


@dataclass(frozen=True, slots=True)
class Sound:
    """A phrase as a turn of its own, and the frames of each of its sounds, those of the longest first."""

    segment: Segment
    frames: tuple[range, ...]

    def all_frames(self) -> list[int]:
        """The frames of all its sounds."""
        return [frame for frames in self.frames for frame in frames]

    def clearest(self) -> int:
        """The frame in the middle of the longest sound."""
        return self.frames[0][len(self.frames[0]) // 2]

    def rms(self) -> float:
        """Loudness of the sounds' frames, full scale 1."""
        return _rms(self.segment.samples / np.float32(32768), self.frames)


def say(voice: Voice, kind: str, rms: float = RMS) -> Sound:
    """Speak the phrase of a kind so loud that its sounds have the given RMS; ValueError if it holds none."""
    chosen = KINDS[kind]
    speech = voice.speak(chosen.phrase)
    found = [p for p in speech.phonemes if p.symbol in chosen.symbols and p.end - p.start >= chosen.shortest_s]
    if not found:
        raise ValueError(f"{chosen.phrase!r} is spoken without {kind!r}")
    frames = tuple(_inner_frames(p) for p in sorted(found, key=lambda p: p.start - p.end))
    count = -(-len(speech.samples) // FRAME_SAMPLES)
    samples = np.zeros(count * FRAME_SAMPLES, dtype=np.float32)
    samples[: len(speech.samples)] = speech.samples
    samples *= rms / _rms(samples, frames)
    return Sound(Segment(_to_int16(samples), np.zeros((count, 6), np.float32), speech.phonemes), frames)


def silence(seconds: float = 0.6) -> Segment:
    """A turn in which nothing is said."""
    count = round(seconds * FPS)
    return Segment(np.zeros(count * FRAME_SAMPLES, np.int16), np.zeros((count, 6), np.float32), ())


def _inner_frames(phoneme: Phoneme) -> range:
    """The frames whose centres lie in the middle half of a sound, at least the middle one."""
    quarter, middle = (phoneme.end - phoneme.start) / 4, (phoneme.start + phoneme.end) / 2
    first, last = (round((middle + side * quarter) * FPS - 0.5) for side in (-1, 1))
    return range(first, max(first, last) + 1)


def _rms(samples: NDArray[np.float32], frames: tuple[range, ...]) -> float:
    """Root mean square of the samples of these frames."""
    heard = np.concatenate([samples[r.start * FRAME_SAMPLES : r.stop * FRAME_SAMPLES] for r in frames])
    return float(np.sqrt(np.mean(heard.astype(np.float64) ** 2)))


def _to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.asarray(np.rint(np.clip(samples, -1.0, 1.0) * 32767), dtype=np.int16)
