"""Where the painted mouth of a drawn face covers the face crop."""

import numpy as np
from numpy.typing import NDArray

from inference.config import FACE_SIZE

# Below the nose, which then stays the source's own: it does not move with speech and is drawn finer than it is painted.
TOP_ROW = 146
FEATHER = 14  # pixels from 0 to 255 at the mask's rim
FEATHER_BOTTOM = 5  # a chin that is fully down comes near the crop's lower edge
# A superellipse over the lower face and the chin at its lowest, without the outline of the hair.
CENTRE = (128.0, 196.0)
RADII = (88.0, 66.0)
POWER = 2.6


def mouth_mask() -> NDArray[np.uint8]:
    """255 where the painting is seen, 0 where the source is, soft between; [256, 256]."""
    rows, columns = np.mgrid[0:FACE_SIZE, 0:FACE_SIZE] + 0.5
    across, down = (columns - CENTRE[0]) / RADII[0], (rows - CENTRE[1]) / RADII[1]
    radius = (np.abs(across) ** POWER + np.abs(down) ** POWER) ** (1 / POWER)
    distance = (1 - radius) * min(RADII)  # about the pixels to the rim
    top = rows - TOP_ROW
    bottom = (FACE_SIZE - rows) * FEATHER / FEATHER_BOTTOM
    share = np.clip(np.minimum(np.minimum(distance, top), bottom) / FEATHER, 0.0, 1.0)
    smooth = share * share * (3 - 2 * share)
    return np.asarray(np.rint(255 * smooth), dtype=np.uint8)
