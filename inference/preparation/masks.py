"""MuseTalk's mouth mask: from a label map of the face to how strongly each pixel of the box is painted.

The steps and numbers are upstream's ``get_image_prepare_material`` and ``FaceParsing``; the mask is cut to the face
box, outside of which upstream pastes the frame over itself.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.avatar_bundle import Box, Image
from inference.preparation.face_models import Points
from inference.preparation.parsing import (
    LOWER_LIP,
    MOUTH,
    NECK,
    NOSE,
    PARSING_SIZE,
    SKIN,
    UPPER_LIP,
    FaceParser,
    Labels,
)

EXPAND = 1.5  # the crop's side over the box's longer one
UPPER_SHARE = 0.5  # of the crop's height that is not painted: down to the bridge of the nose
BLUR_SHARE = 0.1  # of the crop's width: the blur's kernel
CHEEK = 90  # columns from the middle of 512 beyond which cheeks are eroded
EROSIONS = 2

Mask = NDArray[np.uint8]  # [height, width]; 255: painted, 0: the frame's own
MaskMode = Literal["raw", "neck", "jaw"]
"""raw: skin and mouth (1.0's); neck: the neck too; jaw: skin grown upwards and a little over the jaw (1.5's)."""


@dataclass(frozen=True, slots=True)
class MaskRule:
    """How a label map becomes a mask."""

    mode: MaskMode
    expand: float = EXPAND
    blur_share: float = BLUR_SHARE


def mask_rule(tier: str) -> MaskRule:
    """As upstream's defaults: raw for 1.0, jaw for 1.5 and nano."""
    return MaskRule("raw" if tier.endswith("v10") else "jaw")


def crop_box(box: Box, expand: float = EXPAND) -> Box:
    """The square around a face that its mask is made on; it may leave the frame on every side."""
    x1, y1, x2, y2 = box
    across, down = (x1 + x2) // 2, (y1 + y2) // 2
    half = int(max(x2 - x1, y2 - y1) // 2 * expand)
    return across - half, down - half, across + half, down + half


def box_mask(image: Image, box: Box, mesh: Points | None, parser: FaceParser, rule: MaskRule) -> Mask:
    """The mask of a box, of the box's own size."""
    around = crop_box(box, rule.expand)
    crop = Pillow.fromarray(image).crop(around).resize((PARSING_SIZE, PARSING_SIZE), Pillow.Resampling.BILINEAR)
    side = around[2] - around[0]
    shown = None
    if mesh is not None:
        corner = np.array(around[:2], np.float32)
        shown = (mesh - corner) * np.float32(PARSING_SIZE / side)
    labels = parser.labels(np.asarray(crop, np.uint8), shown)
    return labels_to_mask(labels, box, rule)


def labels_to_mask(labels: Labels, box: Box, rule: MaskRule) -> Mask:
    """The mask of a box, of the box's own size, from the labels [512, 512] of its ``crop_box``."""
    around = crop_box(box, rule.expand)
    side = around[2] - around[0]
    painted = Pillow.fromarray(painted_parts(labels, rule.mode)).resize((side, side), Pillow.Resampling.BICUBIC)
    inside = (
        slice(box[1] - around[1], box[3] - around[1]),
        slice(box[0] - around[0], box[2] - around[0]),
    )
    mask = np.zeros((side, side), np.uint8)
    mask[inside] = np.asarray(painted)[inside]
    mask[: int(side * UPPER_SHARE)] = 0
    kernel = blur_kernel(side, rule.blur_share)
    blurred = cv2.GaussianBlur(mask, (kernel, kernel), 0)
    return np.ascontiguousarray(blurred[inside])


def blur_kernel(side: int, share: float) -> int:
    """The odd size of the Gaussian kernel that feathers a mask of this width."""
    return int(share * side // 2 * 2) + 1


def painted_parts(labels: Labels, mode: MaskMode) -> Mask:
    """255 on the parts that a mode paints, else 0; [512, 512]."""
    mouth = np.isin(labels, (MOUTH, UPPER_LIP, LOWER_LIP))
    skin = labels == SKIN
    if mode == "jaw":
        skin = _grown_to_the_jaw(skin) & (labels != NOSE)
    elif mode == "neck":
        skin = skin | (labels == NECK)
    return np.where(skin | mouth, 255, 0).astype(np.uint8)


def jaw_kernel() -> NDArray[np.uint8]:
    """What a point of skin grows by: 16 rows up, 6 down, 10 columns to each side; 373 ones of 33x33."""
    kernel = np.zeros((33, 33), np.uint8)
    for row in range(10, 33):
        half = min(row - 10, 10)
        kernel[row, 16 - half : 16 + half + 1] = 1
    return kernel


def _grown_to_the_jaw(skin: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Skin dilated, then worn down to the sides of the middle columns, so that no cheek's outline is painted."""
    grown = cv2.dilate(skin.astype(np.uint8), jaw_kernel(), iterations=1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (35, 3))
    worn = cv2.erode(grown, kernel, iterations=EROSIONS)
    middle = PARSING_SIZE // 2
    protected = slice(middle - CHEEK + 1, middle + CHEEK)
    worn[:, protected] = grown[:, protected]
    return worn.astype(bool)
