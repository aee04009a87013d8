"""The mask from a label map, against the same steps done with Pillow, OpenCV and plain loops."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.avatar_bundle import Box
from inference.preparation.masks import (
    MaskMode,
    MaskRule,
    blur_kernel,
    box_mask,
    crop_box,
    jaw_kernel,
    labels_to_mask,
    mask_rule,
    painted_parts,
)
from inference.preparation.parsing import Labels

SKIN, NOSE, MOUTH, UPPER, LOWER, NECK, HAIR = 1, 10, 11, 12, 13, 14, 17


def synthetic_labels() -> Labels:
    """A face of rectangles: hair, skin, nose, lips, neck; and every other class once."""
    labels = np.zeros((512, 512), np.uint8)
    labels[60:400, 110:400] = HAIR
    labels[390:512, 200:312] = NECK
    labels[120:390, 140:372] = SKIN
    labels[200:280, 236:276] = NOSE
    labels[310:330, 210:302] = UPPER
    labels[330:340, 215:297] = MOUTH
    labels[340:360, 212:300] = LOWER
    for label in range(19):
        labels[2 : 4 + label % 2, 10 + 4 * label : 12 + 4 * label] = label
    return labels


@pytest.mark.parametrize(
    ("box", "expand", "square"),
    [
        ((100, 100, 200, 200), 1.5, (75, 75, 225, 225)),
        ((100, 100, 201, 200), 1.5, (75, 75, 225, 225)),  # odd width: the middle and the half are rounded down
        ((101, 100, 202, 203), 1.5, (75, 75, 227, 227)),
        ((100, 100, 210, 200), 1.2, (89, 84, 221, 216)),
        ((0, 0, 60, 60), 1.5, (-15, -15, 75, 75)),
        ((580, 420, 640, 480), 1.5, (565, 405, 655, 495)),
        ((0, 0, 640, 480), 1.5, (-160, -240, 800, 720)),
    ],
)
def test_the_square_around_a_box(box: Box, expand: float, square: Box) -> None:
    assert crop_box(box, expand) == square


def test_the_jaw_kernel_is_a_cone_on_a_column() -> None:
    kernel = jaw_kernel()
    assert kernel.shape == (33, 33)
    assert kernel.sum() == 373
    assert kernel.sum(axis=1).tolist() == [0] * 10 + list(range(1, 22, 2)) + [21] * 12
    assert np.array_equal(kernel, kernel[:, ::-1])


def test_a_point_of_skin_grows_16_up_6_down_and_10_to_each_side() -> None:
    labels = np.zeros((512, 512), np.uint8)
    labels[300, 256] = SKIN
    rows, columns = np.nonzero(painted_parts(labels, "jaw"))
    assert (rows.min() - 300, rows.max() - 300) == (-16, 6)
    assert (columns.min() - 256, columns.max() - 256) == (-10, 10)


def test_cheeks_are_worn_down_outside_columns_167_to_345_alone() -> None:
    labels = np.full((512, 512), SKIN, np.uint8)
    labels[:, 160:163] = 0  # a gap that growing closes to nothing
    labels[250:, :100] = 0
    labels[250:, 420:] = 0
    labels[:, 300] = 0
    painted = painted_parts(labels, "jaw")
    grown = cv2.dilate((labels == SKIN).astype(np.uint8) * 255, jaw_kernel())
    worn = cv2.erode(grown, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (35, 3)), iterations=2)
    assert not np.array_equal(worn, grown)
    assert np.array_equal(painted[:, 167:346], grown[:, 167:346])
    assert np.array_equal(painted[:, :167], worn[:, :167])
    assert np.array_equal(painted[:, 346:], worn[:, 346:])


def test_erosion_takes_two_rows_and_34_columns_from_a_straight_edge() -> None:
    labels = np.zeros((512, 512), np.uint8)
    labels[100:300, 20:130] = SKIN
    rows, columns = np.nonzero(painted_parts(labels, "jaw"))
    assert (columns.min(), columns.max()) == (20 - 10 + 34, 129 + 10 - 34)
    assert rows.max() == 299 + 6 - 2


def test_raw_paints_skin_and_mouth_and_neck_the_neck_too() -> None:
    labels = synthetic_labels()
    assert np.array_equal(painted_parts(labels, "raw") == 255, np.isin(labels, (SKIN, MOUTH, UPPER, LOWER)))
    assert np.array_equal(painted_parts(labels, "neck") == 255, np.isin(labels, (SKIN, MOUTH, UPPER, LOWER, NECK)))


def test_jaw_keeps_the_nose_and_paints_the_mouth() -> None:
    labels = synthetic_labels()
    painted = painted_parts(labels, "jaw")
    assert not painted[labels == NOSE].any()
    assert (painted[np.isin(labels, (MOUTH, UPPER, LOWER))] == 255).all()
    assert set(np.unique(painted)) == {0, 255}


def reference_mask(labels: Labels, box: Box, mode: MaskMode, expand: float, share: float) -> NDArray[np.uint8]:
    """The whole crop's mask by Pillow's own crop, paste and resize, then the box's part of it."""
    left, top, right, bottom = crop_box(box, expand)
    size = (right - left, bottom - top)
    inner = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    whole = Pillow.fromarray(painted_parts(labels, mode)).resize(size)  # Pillow's default filter
    boxed = Pillow.new("L", size, 0)
    boxed.paste(whole.crop(inner), inner)
    lower = Pillow.new("L", size, 0)
    half = int(size[1] * 0.5)
    lower.paste(boxed.crop((0, half, *size)), (0, half))
    kernel = int(share * size[0] // 2 * 2) + 1
    blurred = cv2.GaussianBlur(np.array(lower), (kernel, kernel), 0)
    return np.asarray(Pillow.fromarray(blurred).crop(inner))


@pytest.mark.parametrize("box", [(178, 57, 272, 185), (0, 0, 301, 255), (10, 20, 266, 276), (3, 5, 40, 31)])
@pytest.mark.parametrize("share", [0.1, 0.05])
@pytest.mark.parametrize(("mode", "expand"), [("jaw", 1.5), ("raw", 1.5), ("neck", 1.2)])
def test_the_mask_is_resized_boxed_cut_at_the_middle_and_feathered(
    mode: MaskMode, expand: float, box: Box, share: float
) -> None:
    mask = labels_to_mask(synthetic_labels(), box, MaskRule(mode, expand, share))
    assert mask.shape == (box[3] - box[1], box[2] - box[0])
    assert mask.any()
    assert np.array_equal(mask, reference_mask(synthetic_labels(), box, mode, expand, share))


def test_the_blurs_kernel_is_odd() -> None:
    assert [blur_kernel(side, 0.1) for side in (150, 192, 300, 30)] == [15, 19, 31, 3]
    assert blur_kernel(192, 0.05) == 9


class Recorder:
    """A face parser that keeps what it is shown."""

    def __init__(self) -> None:
        self.crop: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self.mesh: NDArray[np.float32] | None = None

    def labels(self, crop: NDArray[np.uint8], mesh: NDArray[np.float32] | None) -> Labels:
        self.crop, self.mesh = crop, mesh
        return synthetic_labels()


def test_a_parser_sees_the_square_around_the_box_at_512_and_black_beyond_the_frame() -> None:
    image = np.full((100, 120, 3), (200, 100, 50), np.uint8)
    box, parser = (0, 0, 120, 100), Recorder()
    mask = box_mask(image, box, np.array([[60.0, 50.0], [-30.0, -40.0]], np.float32), parser, MaskRule("raw"))
    left, top, right, _ = crop_box(box)
    assert mask.shape == (100, 120)
    assert parser.crop.shape == (512, 512, 3)
    assert parser.crop[256, 256].tolist() == [200, 100, 50]
    assert not parser.crop[:20].any()
    assert not parser.crop[-20:].any()
    assert parser.mesh is not None
    scale = 512 / (right - left)
    assert parser.mesh[0] == pytest.approx([(60 - left) * scale, (50 - top) * scale])
    assert parser.mesh[1] == pytest.approx([(-30 - left) * scale, (-40 - top) * scale])


def test_each_tier_has_its_mode() -> None:
    assert [mask_rule(tier).mode for tier in ("musetalk-v15", "musetalk-v10", "nano")] == ["jaw", "raw", "jaw"]
