"""Voice activity that is read off the samples: a test sends the probability as an amplitude."""

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 32_767


def pcm_of_probability(probability: float, duration_s: float, rate_hz: int = 16_000) -> bytes:
    """A constant signal that FakeVoiceActivity judges as `probability`: mono 16-bit PCM."""
    return np.full(round(duration_s * rate_hz), round(probability * FULL_SCALE), np.int16).tobytes()


class FakeDetector:
    """The probability of a window is its mean amplitude."""

    def __init__(self) -> None:
        self.windows = 0
        self.resets = 0

    async def probability(self, window: NDArray[np.int16]) -> float:
        """`window` is int16 [512]."""
        assert window.shape == (512,)
        assert window.dtype == np.int16
        self.windows += 1
        return float(np.clip(np.mean(np.abs(window.astype(np.float32))) / FULL_SCALE, 0.0, 1.0))

    def reset(self) -> None:
        """Counted, for the test that expects it."""
        self.resets += 1


class FakeVoiceActivity:
    """Makes such detectors and keeps them."""

    def __init__(self) -> None:
        self.detectors: list[FakeDetector] = []

    def detector(self) -> FakeDetector:
        """A new one for each session."""
        self.detectors.append(FakeDetector())
        return self.detectors[-1]
