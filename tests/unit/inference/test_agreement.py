"""The mathematics of the lip-sync figures, on inputs whose answers are known."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from inference.training.agreement import CLOSED_PIXELS, best_lag, closed_share, correlation, psnr, smooth, ssim

WAVE = np.sin(np.arange(60) / 3.0)


def test_a_series_agrees_with_any_gain_and_offset_of_itself() -> None:
    assert correlation([WAVE], [3.0 * WAVE + 7.0]) == pytest.approx(1.0)
    assert correlation([WAVE], [-WAVE]) == pytest.approx(-1.0)


def test_segments_are_joined_before_they_are_compared() -> None:
    first, second = np.array([0.0, 1.0]), np.array([2.0, 5.0])
    expected = np.corrcoef([0.0, 1.0, 2.0, 5.0], [1.0, 1.0, 3.0, 4.0])[0, 1]
    assert correlation([first, second], [np.array([1.0, 1.0]), np.array([3.0, 4.0])]) == pytest.approx(expected)


def test_lips_that_never_move_agree_with_nothing() -> None:
    assert correlation([np.zeros(60)], [WAVE]) == 0.0


@pytest.mark.parametrize("lag", [-4, 0, 3])
def test_the_best_lag_is_how_much_later_the_first_series_comes(lag: int) -> None:
    noise = np.random.default_rng(1).normal(size=80)
    found, r = best_lag([np.roll(noise, lag)[10:70]], [noise[10:70]])
    assert found == lag
    assert r == pytest.approx(1.0)


def test_smoothing_is_the_mean_of_three_and_keeps_the_length() -> None:
    assert list(smooth(np.array([0.0, 3.0, 0.0, 0.0]))) == pytest.approx([1.0, 1.0, 1.0, 0.0])


def test_a_moment_is_closed_when_one_of_its_frames_is() -> None:
    openings = [np.array([5.0, CLOSED_PIXELS - 0.01, 5.0, CLOSED_PIXELS, 5.0])]
    assert closed_share(openings, [[range(0, 3)]]) == 1.0
    assert closed_share(openings, [[range(2, 5)]]) == 0.0
    assert closed_share(openings, [[range(0, 3), range(2, 5), range(1, 2), range(4, 5)]]) == 0.5
    assert closed_share(openings, [[]]) == 1.0


def test_psnr_of_a_known_error() -> None:
    grey, lighter = np.full((4, 4, 3), 100, np.uint8), np.full((4, 4, 3), 101, np.uint8)
    assert psnr([(grey, lighter)]) == pytest.approx(20 * np.log10(255), abs=1e-6)
    assert psnr([(grey, grey), (grey, lighter)]) == pytest.approx(20 * np.log10(255) + 10 * np.log10(2), abs=1e-6)


def test_ssim_is_that_of_the_published_definition() -> None:
    rng = np.random.default_rng(4)
    picture = rng.uniform(0, 255, (40, 60))
    noisy = np.clip(picture + rng.normal(0, 30, picture.shape), 0, 255)
    expected = structural_similarity(
        picture, noisy, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(picture, noisy) == pytest.approx(expected, abs=1e-9)
    assert ssim(picture, picture) == pytest.approx(1.0)
    assert ssim(picture, 255 - picture) < 0
