"""Labels of a face's parts, pixel by pixel: the Protocol of a face parser, and the parser that needs no network.

Labels are those of CelebAMask-HQ, which the face parsers around MuseTalk (BiSeNet) are trained on.
"""

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.avatar_bundle import Image
from inference.preparation.face_models import Points

PARSING_SIZE = 512  # a parser sees the crop scaled to this

BACKGROUND, SKIN, NOSE, MOUTH, UPPER_LIP, LOWER_LIP, NECK = 0, 1, 10, 11, 12, 13, 14

Labels = NDArray[np.uint8]  # [512, 512]

# Rings of MediaPipe's face mesh.
FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152),
    *(148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
UPPER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78)
NOSE_RING = (168, 122, 174, 198, 49, 64, 98, 97, 2, 326, 327, 294, 279, 420, 399, 351)

SUBPIXEL_BITS = 4  # polygons are drawn at 1/16 of a pixel


class FaceParser(Protocol):
    """Tells a face's parts apart."""

    def labels(self, crop: Image, mesh: Points | None) -> Labels:
        """Labels [512, 512] of a crop [512, 512, 3] RGB; ``mesh`` [468, 2] in its pixels where one was found."""


class MeshParser:
    """Draws the parts from the face mesh: skin inside the face's oval, nose and lips on it.

    It knows no hair, glasses or hands before the face; where these cover the lower face they are painted over.
    """

    def labels(self, crop: Image, mesh: Points | None) -> Labels:
        """Of a face without a mesh: an ellipse in the middle, as wide and high as the box of a usual face."""
        labels = np.zeros((PARSING_SIZE, PARSING_SIZE), np.uint8)
        if mesh is None:
            cv2.ellipse(labels, (256, 256), (154, 171), 0, 0, 360, (SKIN,), cv2.FILLED)
            return labels
        for ring, label in (
            (FACE_OVAL, SKIN),
            (NOSE_RING, NOSE),
            (OUTER_LIPS, LOWER_LIP),
            (UPPER_LIPS, UPPER_LIP),
            (INNER_LIPS, MOUTH),
        ):
            points = np.rint((mesh[list(ring)] - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
            cv2.fillPoly(labels, [points], (label,), shift=SUBPIXEL_BITS)
        return labels
