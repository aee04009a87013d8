"""Blending is exact, and stays inside the mask's box."""

import numpy as np
import pytest
import torch

from inference.compositor import Paste, blend, paste, paste_region, to_pixels
from inference.decoder import WHOLE_FACE, Region


def test_blend_is_the_rounded_mean_for_every_triple_of_edge_values() -> None:
    values = np.array([0, 1, 2, 63, 127, 128, 129, 200, 254, 255], np.uint8)
    under, over, strength = (axis.ravel() for axis in np.meshgrid(values, values, values))
    exact = (under.astype(int) * (255 - strength.astype(int)) + over.astype(int) * strength.astype(int)) / 255
    assert np.array_equal(blend(under, over, strength), np.floor(exact + 0.5).astype(np.uint8))


def test_pixels_are_clamped_and_rounded_half_to_even() -> None:
    levels = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0, 2 * 100.5 / 255 - 1, 2 * 101.5 / 255 - 1], dtype=torch.float64)
    painted = levels.view(1, 1, 1, -1).expand(1, 3, 1, -1)
    assert to_pixels(painted)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255, 100, 102]


def test_paste_leaves_the_source_frame_untouched_and_changes_the_region_only() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    mask = np.full((256, 256), 255, np.uint8)
    region = Region(128, 256, 10, 20)
    result = paste(image, np.full((128, 10, 3), 9, np.uint8), Paste((5, 7, 261, 263), region, mask), weight=1.0)
    assert image.max() == 0
    assert (result[7 + 128 : 7 + 256, 5 + 10 : 5 + 20] == 9).all()
    assert result.sum() == 128 * 10 * 3 * 9


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.75, 1.0])
def test_the_weight_scales_the_mask(weight: float) -> None:
    image, painted = np.zeros((256, 256, 3), np.uint8), np.full((256, 256, 3), 200, np.uint8)
    result = paste(image, painted, Paste((0, 0, 256, 256), WHOLE_FACE, np.full((256, 256), 255, np.uint8)), weight)
    assert np.abs(result.astype(int) - 200 * weight).max() <= 1


def test_only_boxes_of_the_models_own_size_paint_a_part() -> None:
    mouth = Region(140, 240, 60, 200)
    assert paste_region(mouth, ((0, 0, 256, 256), (9, 9, 265, 265))) == mouth
    assert paste_region(mouth, ((0, 0, 256, 256), (0, 0, 200, 200))) == Region(138, 242, 58, 202)
