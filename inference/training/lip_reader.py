"""The measuring reader: how far the lips are apart, from pixels by colour alone. No network, nothing learned.

It looks at the middle columns of the mouth. What is darker than anything there in the closed mouth is the cavity; what
is bright and hardly red is teeth; the gap reaches from the first such row to the last. The tongue lies between dark
rims, so it needs no colour of its own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.training.losses import MOUTH_ROWS

COLUMNS = slice(125, 131)  # the middle of the 256-pixel face crop
ROWS = slice(MOUTH_ROWS[0] + 10, MOUTH_ROWS[1])  # below the nose's shadow
STEPS = 4  # readings a pixel
DARK_SHARE = 0.78  # of the closed mouth's darkest row
TOOTH_REDNESS = 22  # R - G of ivory stays below; lips and skin, their highlights too, are above
TOOTH_LUMINANCE = 105
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class LipReader:
    """A reader for one face, calibrated on its closed mouth."""

    dark_below: float
    tooth_below: float

    @staticmethod
    def for_face(closed: Picture) -> "LipReader":
        """Calibrate on the face crop [256, 256, 3] with closed lips."""
        column = _column(closed)
        redness = float((column[:, 0] - column[:, 1]).min())
        return LipReader(DARK_SHARE * float((column @ LUMA).min()), min(TOOTH_REDNESS, 0.75 * redness))

    def opening(self, crop: Picture) -> float:
        """Pixels between the lips in the middle of the mouth; 0 when they touch."""
        column = _column(crop)  # [rows * STEPS, 3]
        luminance = column @ LUMA
        dark = luminance < self.dark_below
        tooth = (column[:, 0] - column[:, 1] < self.tooth_below) & (luminance > TOOTH_LUMINANCE)
        inside = np.flatnonzero(dark | tooth)
        return 0.0 if inside.size == 0 else float(inside[-1] - inside[0] + 1) / STEPS


def _column(crop: Picture) -> NDArray[np.float32]:
    """The mouth's middle columns averaged, with STEPS rows a pixel between the pixels' centres."""
    rows = crop[ROWS, COLUMNS].astype(np.float32).mean(axis=1)  # [rows, 3]
    at = np.arange(len(rows) * STEPS) / STEPS
    return np.stack([np.interp(at, np.arange(len(rows)), rows[:, c]) for c in range(3)], axis=1).astype(np.float32)
