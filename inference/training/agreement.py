"""How well two things agree: openings over time, pictures, and lips that should be shut. Plain mathematics."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

SMOOTHING_FRAMES = 3  # 120 ms
LAGS = range(-5, 6)  # frames; positive: the first series comes after the second
CLOSED_PIXELS = 1.0  # on the 256-pixel face crop; an opening below it is closed
# Structural similarity as Wang et al. 2004 define it: constants, and a Gaussian window of 11 x 11 pixels.
SSIM_SIGMA, SSIM_REACH, SSIM_K1, SSIM_K2 = 1.5, 5, 0.01, 0.03
WHITE = 255.0

Series = NDArray[np.float64]  # one value a frame
Picture = NDArray[np.uint8]


def smooth(values: Series) -> Series:
    """The mean of three frames; as long as before."""
    padded = np.pad(values.astype(np.float64), SMOOTHING_FRAMES // 2, mode="edge")
    return np.convolve(padded, np.ones(SMOOTHING_FRAMES) / SMOOTHING_FRAMES, mode="valid")


def correlation(first: list[Series], second: list[Series], lag: int = 0) -> float:
    """Pearson r over all segments, the first series taken ``lag`` frames later; 0 where one does not move."""
    pairs = [
        (a[max(0, lag) : len(a) + min(0, lag)], b[max(0, -lag) : len(b) - max(0, lag)])
        for a, b in zip(first, second, strict=True)
    ]
    joined = [np.concatenate(side) for side in zip(*pairs, strict=True)]
    if min(side.std() for side in joined) < 1e-9:
        return 0.0
    return float(np.corrcoef(joined[0], joined[1])[0, 1])


def best_lag(first: list[Series], second: list[Series]) -> tuple[int, float]:
    """The lag with the highest correlation, and that correlation."""
    lag = max(LAGS, key=lambda shift: correlation(first, second, shift))
    return lag, correlation(first, second, lag)


def closed_share(openings: list[Series], moments: list[list[range]]) -> float:
    """Of all moments (runs of frames), the share in which the lips are closed in one frame at least; 1 without any."""
    closed = [
        bool(values[moment.start : moment.stop].min() < CLOSED_PIXELS)
        for values, spans in zip(openings, moments, strict=True)
        for moment in spans
    ]
    return float(np.mean(closed)) if closed else 1.0


def psnr(pairs: list[tuple[Picture, Picture]]) -> float:
    """Peak signal-to-noise ratio in dB of pictures against their truth, all pixels of all pairs together."""
    errors = [float(((a.astype(np.float64) - b) ** 2).mean()) for a, b in pairs]
    return float(10 * np.log10(WHITE**2 / max(float(np.mean(errors)), 1e-12)))


def ssim(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Structural similarity of two grey pictures [h, w] in 0..255, over the windows that lie wholly inside."""

    def local_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        inside: NDArray[np.float64] = gaussian_filter(values, SSIM_SIGMA, radius=SSIM_REACH)[
            SSIM_REACH:-SSIM_REACH, SSIM_REACH:-SSIM_REACH
        ]
        return inside

    low, low_variance = (SSIM_K1 * WHITE) ** 2, (SSIM_K2 * WHITE) ** 2
    mean_1, mean_2 = local_mean(first), local_mean(second)
    variance_1, variance_2 = local_mean(first**2) - mean_1**2, local_mean(second**2) - mean_2**2
    covariance = local_mean(first * second) - mean_1 * mean_2
    similarity = ((2 * mean_1 * mean_2 + low) * (2 * covariance + low_variance)) / (
        (mean_1**2 + mean_2**2 + low) * (variance_1 + variance_2 + low_variance)
    )
    return float(similarity.mean())
