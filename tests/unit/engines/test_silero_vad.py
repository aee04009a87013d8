"""Voice activity by the real model."""

import numpy as np
import pytest
from numpy.typing import NDArray

from avatar_service.engines.silero_vad import SileroVad

WINDOW = 512


@pytest.fixture(scope="module")
def engine() -> SileroVad:
    return SileroVad()


def probabilities(engine: SileroVad, pcm: NDArray[np.int16]) -> list[float]:
    detector = engine.detector()
    return [detector.probability(pcm[start : start + WINDOW]) for start in range(0, len(pcm) - WINDOW + 1, WINDOW)]


def vowel(seconds: float) -> NDArray[np.int16]:
    """A buzz of 120 Hz with the two formants of an "ah", rising and falling as syllables do."""
    time_s = np.arange(round(seconds * 16_000)) / 16_000
    sound = np.zeros_like(time_s)
    for harmonic in range(1, 60):
        frequency = 120.0 * harmonic
        gain = sum(np.exp(-(((frequency - formant) / 120.0) ** 2)) for formant in (700.0, 1_200.0, 2_500.0)) + 0.02
        sound += gain * np.sin(2 * np.pi * frequency * time_s * (1 + 0.01 * np.sin(2 * np.pi * 5 * time_s)))
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * time_s)
    voice: NDArray[np.float64] = sound / np.abs(sound).max() * syllables * 16_000
    return voice.astype(np.int16)


def test_silence_and_faint_noise_are_no_speech(engine: SileroVad) -> None:
    noise = np.random.default_rng(0).normal(size=32_000) * 20
    assert max(probabilities(engine, np.zeros(32_000, np.int16))) < 0.3
    assert max(probabilities(engine, noise.astype(np.int16))) < 0.5


def test_a_voice_is_more_likely_speech_than_silence(engine: SileroVad) -> None:
    assert max(probabilities(engine, vowel(1.5))) > 0.5


def test_probabilities_are_between_zero_and_one(engine: SileroVad) -> None:
    loud = np.random.default_rng(1).integers(-32_768, 32_767, 16_000).astype(np.int16)
    assert all(0.0 <= probability <= 1.0 for probability in probabilities(engine, loud))


def test_detectors_do_not_share_what_they_heard(engine: SileroVad) -> None:
    alone = probabilities(engine, vowel(0.5))
    first, second = engine.detector(), engine.detector()
    pcm = vowel(0.5)
    for number, start in enumerate(range(0, len(pcm) - WINDOW + 1, WINDOW)):
        assert first.probability(pcm[start : start + WINDOW]) == pytest.approx(alone[number], abs=1e-6)
        second.probability(np.zeros(WINDOW, np.int16))


def test_a_reset_detector_is_as_new(engine: SileroVad) -> None:
    detector, pcm = engine.detector(), vowel(0.2)
    fresh = detector.probability(pcm[:WINDOW])
    detector.probability(pcm[WINDOW : 2 * WINDOW])
    detector.reset()
    assert detector.probability(pcm[:WINDOW]) == pytest.approx(fresh, abs=1e-6)
