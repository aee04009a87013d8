"""Sounds to send through codecs, and by how much they come out late."""

import numpy as np
from numpy.typing import NDArray


def babble(seconds: float, rate_hz: int, seed: int = 0) -> NDArray[np.int16]:
    """Noise in syllables, below 3.5 kHz: something that a codec for speech keeps the shape of."""
    samples = round(seconds * rate_hz)
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=samples))
    frequency_hz = np.fft.rfftfreq(samples, 1 / rate_hz)
    noise = np.fft.irfft(spectrum * ((frequency_hz > 150) & (frequency_hz < 3_500)), samples)
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * np.arange(samples) / rate_hz)
    voice: NDArray[np.int16] = (6_000 * syllables * noise / noise.std()).clip(-32_000, 32_000).astype(np.int16)
    return voice


def delay_s(before: NDArray[np.int16], after: NDArray[np.int16], rate_hz: int) -> float:
    """By how much `after` is late, where both have one rate and are most alike."""
    size = 2 * max(len(before), len(after))
    alike = np.fft.irfft(np.fft.rfft(after, size) * np.conj(np.fft.rfft(before, size)))
    lag = int(np.argmax(alike))
    return (lag if lag < size // 2 else lag - size) / rate_hz
