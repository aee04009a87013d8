"""From timed phonemes to the mouth truth: six numbers a frame, with coarticulation and forced closures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from inference.config import FPS
from inference.training.voice import SILENCE, Phoneme

GRID_HZ = 200
SMOOTHING_S = 0.030  # standard deviation: 70 ms wide at half height
REACH_S = 0.035  # how fast a neighbour's influence fades
CLOSED_S = 0.040  # one frame: wherever the frames lie, one centre falls into it
RELEASE_S = 0.045  # from a closure back to the blended mouth


@dataclass(frozen=True, slots=True)
class Target:
    """Mouth shape of a phoneme (order of ``MouthShape``) and how strongly it resists its neighbours."""

    shape: tuple[float, float, float, float, float, float]
    dominance: float = 1.0


_REST = Target((0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 1.0)
_CLOSED = Target((0.0, 0.05, 0.10, 0.0, 0.0, 0.0), 1.5)
_TUCKED = Target((0.12, 0.20, 0.0, 0.60, 0.0, 1.0), 1.4)
_TEETH = Target((0.14, 0.55, 0.0, 0.75, 0.25, 0.0), 1.0)
_PALATAL = Target((0.26, 0.0, 0.70, 0.65, 0.20, 0.0), 1.1)
_STOP = Target((0.24, 0.35, 0.0, 0.55, 0.70, 0.0), 0.6)
_DENTAL = Target((0.28, 0.25, 0.0, 0.50, 1.0, 0.0), 1.1)
_VELAR = Target((0.36, 0.25, 0.0, 0.40, 0.05, 0.0), 0.5)
_EE = Target((0.30, 0.90, 0.0, 0.62, 0.30, 0.0), 1.1)
_IH = Target((0.34, 0.55, 0.0, 0.52, 0.30, 0.0), 0.9)
_EH = Target((0.55, 0.45, 0.0, 0.52, 0.20, 0.0), 1.0)
_AH = Target((1.0, 0.10, 0.0, 0.42, 0.05, 0.0), 1.2)
_OH = Target((0.58, 0.0, 0.75, 0.10, 0.0, 0.0), 1.2)
_OO = Target((0.28, 0.0, 1.0, 0.0, 0.05, 0.0), 1.2)
_UH = Target((0.40, 0.0, 0.60, 0.15, 0.10, 0.0), 1.0)
_SCHWA = Target((0.42, 0.20, 0.05, 0.36, 0.20, 0.0), 0.6)
_R = Target((0.28, 0.0, 0.60, 0.28, 0.35, 0.0), 0.9)

TARGETS: dict[str, Target] = {
    SILENCE: _REST,
    **dict.fromkeys("pbm", _CLOSED),
    **dict.fromkeys("fv", _TUCKED),
    **dict.fromkeys("sz", _TEETH),
    **dict.fromkeys("ʃʒʧʤ", _PALATAL),
    **dict.fromkeys("tdnTɾ", _STOP),
    **dict.fromkeys("θð", _DENTAL),
    **dict.fromkeys("kɡŋxʔ", _VELAR),  # noqa: RUF001 - IPA
    "h": Target((0.45, 0.15, 0.0, 0.35, 0.05, 0.0), 0.25),
    "l": Target((0.42, 0.30, 0.0, 0.45, 0.95, 0.0), 0.9),
    "ɹ": _R,
    "w": Target((0.14, 0.0, 1.0, 0.0, 0.0, 0.0), 1.3),
    "j": Target((0.26, 0.70, 0.0, 0.50, 0.30, 0.0), 0.9),
    "i": _EE,
    **dict.fromkeys("ɪᵻ", _IH),
    "ɛ": _EH,
    "æ": Target((0.80, 0.55, 0.0, 0.58, 0.10, 0.0), 1.2),
    **dict.fromkeys("ɑaɒ", _AH),  # noqa: RUF001 - IPA
    "ʌ": Target((0.66, 0.15, 0.05, 0.42, 0.10, 0.0), 1.0),
    **dict.fromkeys("əᵊɐ", _SCHWA),
    **dict.fromkeys("ɜɚ", Target((0.42, 0.0, 0.45, 0.35, 0.30, 0.0), 1.0)),
    "ɔ": Target((0.78, 0.0, 0.50, 0.20, 0.0, 0.0), 1.2),
    "ʊ": _UH,
    "u": _OO,
}
DIPHTHONGS: dict[str, tuple[Target, Target]] = {
    "A": (_EH, _EE),
    "I": (_AH, _IH),
    "O": (_OH, _OO),
    "Q": (_OH, _OO),
    "W": (_AH, _OO),
    "Y": (_OH, _IH),
}
FIRST_SHARE = 0.55  # of a diphthong's time goes to its first vowel
FORCED = {**dict.fromkeys("pbm", _CLOSED), **dict.fromkeys("fv", _TUCKED)}


@dataclass(frozen=True, slots=True)
class _Segment:
    target: Target
    start: float
    end: float


def mouth_track(phonemes: tuple[Phoneme, ...], frames: int, fps: int = FPS) -> NDArray[np.float32]:
    """The six numbers at the centres of ``frames`` frames, [frames, 6]. The lips have no lead over the sound."""
    duration = max(phonemes[-1].end, frames / fps)
    times = np.arange(int(duration * GRID_HZ) + 2) / GRID_HZ  # [T]
    values = _blend(times, phonemes)  # [T, 6]
    values = gaussian_filter1d(values, SMOOTHING_S * GRID_HZ, axis=0, mode="nearest")
    for phoneme in phonemes:
        if phoneme.symbol in FORCED:
            _force(values, times, phoneme, FORCED[phoneme.symbol])
        elif phoneme.symbol == SILENCE and phoneme.end - phoneme.start > 0.16:
            inner = Phoneme(SILENCE, phoneme.start + 0.06, phoneme.end - 0.06)
            _hold(values, times, inner.start, inner.end, _REST)
    centres = (np.arange(frames) + 0.5) / fps
    sampled = np.stack([np.interp(centres, times, values[:, i]) for i in range(6)], axis=1)
    return np.clip(sampled, 0.0, 1.0).astype(np.float32)


def _blend(times: NDArray[np.float64], phonemes: tuple[Phoneme, ...]) -> NDArray[np.float64]:
    """Dominance-weighted mean of all targets at each time, [T, 6]."""
    total, weights = np.zeros((len(times), 6)), np.full((len(times), 1), 1e-6)
    for segment in _segments(phonemes):
        outside = np.maximum(0.0, np.maximum(segment.start - times, times - segment.end))
        near = outside < 6 * REACH_S
        weight = segment.target.dominance * np.exp(-outside[near] / REACH_S)[:, None]
        total[near] += weight * np.array(segment.target.shape)
        weights[near] += weight
    blended: NDArray[np.float64] = total / weights
    return blended


def _segments(phonemes: tuple[Phoneme, ...]) -> list[_Segment]:
    segments = []
    for phoneme in phonemes:
        if phoneme.symbol in DIPHTHONGS:
            first, second = DIPHTHONGS[phoneme.symbol]
            middle = phoneme.start + FIRST_SHARE * (phoneme.end - phoneme.start)
            segments += [_Segment(first, phoneme.start, middle), _Segment(second, middle, phoneme.end)]
        else:
            segments.append(_Segment(TARGETS.get(phoneme.symbol, _SCHWA), phoneme.start, phoneme.end))
    return segments


def _force(values: NDArray[np.float64], times: NDArray[np.float64], phoneme: Phoneme, target: Target) -> None:
    """Reach the target for the middle of the phoneme, at least for the length of one frame."""
    middle = (phoneme.start + phoneme.end) / 2
    half = max(CLOSED_S / 2 + 1 / GRID_HZ, 0.25 * (phoneme.end - phoneme.start))
    _hold(values, times, middle - half, middle + half, target)


def _hold(values: NDArray[np.float64], times: NDArray[np.float64], start: float, end: float, target: Target) -> None:
    """Move values to the target within start..end, fading over the release time on both sides."""
    outside = np.maximum(0.0, np.maximum(start - times, times - end))
    share = np.clip(1 - outside / RELEASE_S, 0.0, 1.0)
    share = (share * share * (3 - 2 * share))[:, None]  # [T, 1], smooth at both ends
    values += share * (np.array(target.shape) - values)
