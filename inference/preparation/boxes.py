"""MuseTalk's face box: from 68 landmarks, so that the bridge of the nose lies at its vertical middle.

The rule is that of upstream's ``preprocessing.get_landmark_and_bbox``: the mask's upper edge, row 128 of the 256 of the
face crop, then lies at landmark 29, and the U-Net sees what it was trained on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.avatar_bundle import Box

NO_BOX: Box = (0, 0, 0, 0)  # of a picture without a face
MIDDLE = 29  # the landmark at the box's vertical middle
MIN_SIDE = 16  # pixels; a smaller box could not be cropped and masked to any use
MAX_SHIFT = 100  # pixels; upstream reports -9 to 9 for a face of 250


@dataclass(frozen=True, slots=True)
class BoxRule:
    """What differs between the versions of the weights."""

    extra_margin: int  # pixels below the chin
    shiftable: bool  # whether a caller may move the middle up and down
    square: bool = False  # whether the box is as nano's drawn faces have it, wider than MuseTalk's


V15 = BoxRule(extra_margin=10, shiftable=False)
V10 = BoxRule(extra_margin=0, shiftable=True)
NANO = BoxRule(extra_margin=0, shiftable=False, square=True)

# The square of nano's drawn faces, in distances from landmark 29 to the chin: its side, and how far its middle lies
# below landmark 29. Means over both drawn avatars; nano has seen no other framing and paints no mouth in MuseTalk's.
SQUARE_SIDE, SQUARE_MIDDLE = 2.27, 0.09


def box_rule(tier: str) -> BoxRule:
    """The rule of a set of weights."""
    if tier == "nano":
        return NANO
    return V10 if tier.endswith("v10") else V15


def face_box(landmarks: NDArray[np.int32], detector_box: Box, size: tuple[int, int], rule: BoxRule, shift: int) -> Box:
    """The box of a face, inside the picture; NO_BOX where nothing of it lies there.

    Args:
        landmarks: iBUG's 68 points in whole pixels.
        detector_box: taken where the landmarks give no box: an empty one, or one that begins left of the picture.
        size: height and width of the picture.
        rule: of the weights.
        shift: pixels by which the middle moves down; a positive one opens the mouth wider.
    """
    height, width = size
    x1, y1, x2, y2 = _square_box(landmarks) if rule.square else _landmark_box(landmarks, shift)
    if x2 <= x1 or y2 <= y1 or (x1 < 0 and not rule.square):
        x1, y1, x2, y2 = detector_box
    y2 = min(y2 + rule.extra_margin, height)
    box = (max(x1, 0), max(y1, 0), min(x2, width), y2)  # only a square one can begin outside
    return box if is_usable(box, size) else NO_BOX


def is_usable(box: Box, size: tuple[int, int]) -> bool:
    """Whether a box lies inside a picture of this height and width and is large enough to be worked on."""
    x1, y1, x2, y2 = box
    inside = x1 >= 0 and x2 <= size[1] and y1 >= 0 and y2 <= size[0]
    return inside and x2 - x1 >= MIN_SIDE and y2 - y1 >= MIN_SIDE


def _landmark_box(landmarks: NDArray[np.int32], shift: int) -> Box:
    points = landmarks.copy()
    points[MIDDLE, 1] += shift  # upstream moves the landmark itself: shifted below the chin it is the lowest one
    middle, bottom = int(points[MIDDLE, 1]), int(points[:, 1].max())
    top = max(0, middle - (bottom - middle))
    return int(points[:, 0].min()), top, int(points[:, 0].max()), bottom


def _square_box(points: NDArray[np.int32]) -> Box:
    below = int(points[:, 1].max() - points[MIDDLE, 1])
    half = int(SQUARE_SIDE * below / 2)
    across = int(points[:, 0].min() + points[:, 0].max()) // 2
    middle = int(points[MIDDLE, 1] + SQUARE_MIDDLE * below)
    return across - half, middle - half, across + half, middle + half
