"""Pasting a painted face into a frame equals upstream's whole composition, made with Pillow, pixel for pixel."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.avatar_bundle import Box, Image, Mask
from inference.compositor import Paste, paste, paste_region, resize
from inference.decoder import WHOLE_FACE, Region
from inference.preparation.masks import MaskRule, blur_kernel, crop_box, labels_to_mask, painted_parts

HEIGHT, WIDTH = 240, 320
RULE = MaskRule("jaw")
# Inside; at each edge of the frame, whose crop boxes leave it there; larger and smaller than the face crop; odd sides.
BOXES = [
    (100, 60, 190, 170),
    (0, 60, 91, 171),
    (229, 60, 320, 170),
    (100, 0, 190, 110),
    (100, 130, 190, 240),
    (0, 0, 320, 240),
    (3, 5, 37, 41),
    (20, 1, 299, 240),
]


def frame() -> Image:
    return np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def painted_face() -> Image:
    return np.random.default_rng(2).integers(0, 256, (256, 256, 3), dtype=np.uint8)


def labels() -> NDArray[np.uint8]:
    """Skin and lips over most of the square, so that masks reach the box's edges."""
    found = np.zeros((512, 512), np.uint8)
    found[100:430, 60:460] = 1
    found[300:340, 200:310] = 12
    found[220:270, 230:280] = 10
    return found


def upstream_frame(image: Image, face: Image, box: Box) -> Image:
    """Upstream's composition: face into the square crop, the crop into the frame under the square's whole mask."""
    square = crop_box(box)
    left, top, right, _ = square
    side = right - left
    inner = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    body = Pillow.fromarray(image)
    crop = body.crop(square)
    mask = Pillow.new("L", crop.size, 0)
    mask.paste(Pillow.fromarray(painted_parts(labels(), RULE.mode)).resize(crop.size).crop(inner), inner)
    lower = np.array(mask)
    lower[: side // 2] = 0
    kernel = blur_kernel(side, RULE.blur_share)
    blurred = Pillow.fromarray(cv2.GaussianBlur(lower, (kernel, kernel), 0))
    fitted = cv2.resize(face, (box[2] - box[0], box[3] - box[1]))  # INTER_LINEAR is OpenCV's default
    crop.paste(Pillow.fromarray(fitted), inner)
    body.paste(crop, (left, top), blurred)
    return np.asarray(body)


def region_of(mask: Mask, box: Box) -> Region:
    """What a bundle with this mask alone would paint."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    covered = Region(
        int(rows[0] * 256 / height),
        int(np.ceil((rows[-1] + 1) * 256 / height)),
        int(columns[0] * 256 / width),
        int(np.ceil((columns[-1] + 1) * 256 / width)),
    )
    return paste_region(covered, (box,))


@pytest.mark.parametrize("box", BOXES)
def test_pasting_equals_upstreams_composition(box: Box) -> None:
    mask, face = labels_to_mask(labels(), box, RULE), painted_face()
    result = paste(frame(), face, Paste(box, WHOLE_FACE, mask), weight=1.0)
    assert np.array_equal(result, upstream_frame(frame(), face, box))
    assert not np.array_equal(result, frame())


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_masks_part_of_the_face_is_enough(box: Box, weight: float) -> None:
    mask, face = labels_to_mask(labels(), box, RULE), painted_face()
    region = region_of(mask, box)
    assert region != WHOLE_FACE
    part = face[region.top : region.bottom, region.left : region.right]
    whole = paste(frame(), face, Paste(box, WHOLE_FACE, mask), weight)
    assert np.array_equal(paste(frame(), part, Paste(box, region, mask), weight), whole)


def test_nothing_outside_the_mask_changes() -> None:
    box = BOXES[0]
    mask = labels_to_mask(labels(), box, RULE)
    result = paste(frame(), painted_face(), Paste(box, WHOLE_FACE, mask), weight=1.0)
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[box[1] : box[3], box[0] : box[2]] = mask == 0
    assert np.array_equal(result[outside], frame()[outside])


@pytest.mark.parametrize("size", [(110, 90), (256, 256), (300, 411), (17, 16)])
def test_resizing_is_opencvs_linear(size: tuple[int, int]) -> None:
    height, width = size
    expected = cv2.resize(painted_face(), (width, height), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(resize(painted_face(), height, width), expected)


@pytest.mark.parametrize("size", [(110, 90), (301, 255)])
def test_a_mask_over_the_face_crop_is_resized_with_the_face(size: tuple[int, int]) -> None:
    height, width = size
    box = (0, 0, width, height)
    mask = np.zeros((256, 256), np.uint8)
    mask[140:250, 40:220] = 255
    image = np.zeros((320, 320, 3), np.uint8)
    result = paste(image, np.full((256, 256, 3), 255, np.uint8), Paste(box, WHOLE_FACE, mask), 1.0)
    assert np.array_equal(result[:height, :width, 0], resize(mask, height, width))
    region = paste_region(Region(140, 250, 40, 220), (box,))
    part = np.full((region.bottom - region.top, region.right - region.left, 3), 255, np.uint8)
    assert np.array_equal(paste(image, part, Paste(box, region, mask), 1.0), result)
