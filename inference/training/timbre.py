"""Other speakers out of one: pitch, intonation, formants and breath of hibari's voice, moved one by one.

hibari predicts a source and a filter for each 12.5 ms frame: F0, and the log magnitudes of a harmonic, a noise and a
free-phase branch over 601 frequencies up to 12 kHz. A longer or shorter vocal tract stretches the filters along the
frequencies; another larynx scales F0. Neither touches the number of frames, so the durations stay what they were.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VOICED_HZ = 40.0  # hibari's own threshold: below it a frame has no pulses
PITCHES = (0.42, 1.25)  # of hibari's voice, a woman's at 230 Hz: from a low man's to a child's
LOW_FORMANTS = 0.84  # a man's against a woman's: the vocal tract is about a sixth longer
HIGH_FORMANTS = 1.12

Spectrum = NDArray[np.float32]  # [601, frames]


@dataclass(frozen=True, slots=True)
class Timbre:
    """A speaker, as factors of hibari's own voice."""

    pitch: float = 1.0  # of the median F0
    intonation: float = 1.0  # of F0's movement around its median; 0 is monotone
    formants: float = 1.0  # of all formant frequencies
    breath: float = 0.0  # natural logarithm of the noise branch's gain
    tilt: float = 0.0  # natural logarithm of the gain at 12 kHz; 0 Hz keeps its level


@dataclass(frozen=True, slots=True)
class VoiceFrames:
    """What hibari's network predicts, the inputs of its synthesis in their order."""

    harmonics: Spectrum  # log magnitudes
    phase: Spectrum
    noise: Spectrum  # log magnitudes
    residual: Spectrum  # log magnitudes of the free-phase branch
    residual_phase: Spectrum
    f0: NDArray[np.float32]  # [frames], Hz

    def parts(self) -> tuple[NDArray[np.float32], ...]:
        """For hibari's ``synth``."""
        return self.harmonics, self.phase, self.noise, self.residual, self.residual_phase, self.f0


def random_timbre(rng: np.random.Generator) -> Timbre:
    """A plausible speaker: low voices tend to have low formants, but not always."""
    low, high = np.log(PITCHES)
    pitch = float(rng.uniform(low, high))
    depth = (high - pitch) / (high - low)  # 0 is the highest voice, 1 the lowest
    usual = HIGH_FORMANTS + (LOW_FORMANTS - HIGH_FORMANTS) * depth
    formants = float(np.clip(usual + rng.normal(0.0, 0.05), LOW_FORMANTS - 0.06, HIGH_FORMANTS + 0.06))
    return Timbre(
        pitch=float(np.exp(pitch)),
        intonation=float(rng.uniform(0.4, 1.5)),
        formants=formants,
        breath=float(rng.uniform(-0.8, 1.6)),
        tilt=float(rng.uniform(-2.5, 1.0)),
    )


def retune(frames: VoiceFrames, timbre: Timbre) -> VoiceFrames:
    """The same sounds from another speaker; as many frames as before."""
    tilt = np.linspace(0.0, timbre.tilt, len(frames.harmonics), dtype=np.float32)[:, None]
    return VoiceFrames(
        harmonics=stretch(frames.harmonics, timbre.formants) + tilt,
        phase=stretch(frames.phase, timbre.formants),
        noise=stretch(frames.noise, timbre.formants) + tilt + np.float32(timbre.breath),
        residual=stretch(frames.residual, timbre.formants) + tilt,
        residual_phase=frames.residual_phase,
        f0=_scale_f0(frames.f0, timbre),
    )


def stretch(spectrum: Spectrum, factor: float) -> Spectrum:
    """What was at a frequency goes to ``factor`` times it; beyond the end the last value is repeated."""
    bins = len(spectrum)
    at = np.minimum(np.arange(bins) / factor, bins - 1)
    low = np.minimum(at.astype(np.int64), bins - 2)
    share = (at - low).astype(np.float32)[:, None]
    stretched: Spectrum = spectrum[low] * (1 - share) + spectrum[low + 1] * share
    return stretched


def _scale_f0(f0: NDArray[np.float32], timbre: Timbre) -> NDArray[np.float32]:
    """F0 moved around its median, then scaled; unvoiced frames stay unvoiced and voiced ones voiced."""
    voiced = f0 > VOICED_HZ
    if not voiced.any():
        return f0
    middle = np.median(f0[voiced])
    moved = middle * timbre.pitch * (f0[voiced] / middle) ** timbre.intonation
    scaled = f0.copy()
    scaled[voiced] = np.maximum(moved, VOICED_HZ + 5)
    return scaled
