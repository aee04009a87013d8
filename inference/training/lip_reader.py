"""The measuring reader: how far the lips are apart and how wide they open, from pixels by colour alone.

The opening is read in the middle columns of the mouth. What is darker than anything there in the closed mouth is the
cavity; what is bright and hardly red is teeth; the gap reaches from the first such row to the last. The tongue lies
between dark rims, so it needs no colour of its own. The width is that of the opening: from the middle outwards, every
column that shows cavity or teeth at the opening's height; a spread slit of few rows is read too narrow, because its
ends are paler than its middle. No network, nothing learned.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.drawing.appearance import Appearance
from inference.drawing.mouth_shape import MouthShape, mouth_outline
from inference.training.losses import MOUTH_COLUMNS, MOUTH_ROWS

COLUMNS = slice(125, 131)  # the middle of the 256-pixel face crop
ROWS = slice(MOUTH_ROWS[0] + 10, MOUTH_ROWS[1])  # below the nose's shadow
STEPS = 4  # readings a pixel
CORNER_RISE = 6  # rows that the corners of an opening may lie above or below it
LEAST_ROWS = 2  # of cavity or teeth, for a column to be open: fewer is the line between closed lips
SEEN_ROWS = 1.5  # of a gap in the outline, for its column to be seen as open
DARK_SHARE = 0.78  # of the closed mouth's darkest row
TOOTH_REDNESS = 22  # R - G of ivory stays below; lips and skin, their highlights too, are above
TOOTH_LUMINANCE = 105
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Reading:
    """One mouth in pixels of the face crop; a closed one is 0 by 0."""

    opening: float
    width: float  # of the opening, not of the lips

    @property
    def roundness(self) -> float:
        """Opening over width: a slit is near 0, a circle is 1, a closed mouth 0."""
        return self.opening / self.width if self.width else 0.0


def outline_reading(shape: MouthShape, look: Appearance) -> Reading:
    """What a perfect reader would say of this mouth, from the outline that is drawn."""
    mouth = mouth_outline(shape, look)
    open_at = [
        x for (x, top), (_, low) in zip(mouth.inner_upper, mouth.inner_lower, strict=True) if low - top > SEEN_ROWS
    ]
    return Reading(mouth.gap, open_at[-1] - open_at[0] if open_at else 0.0)


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
        return self.read(crop).opening

    def read(self, crop: Picture) -> Reading:
        """Opening and width of the mouth in a face crop [256, 256, 3]."""
        inside = np.flatnonzero(self._inside(_column(crop)))  # quarters of rows
        if inside.size == 0:
            return Reading(0.0, 0.0)
        opening = float(inside[-1] - inside[0] + 1) / STEPS
        first, last = ROWS.start + inside[0] // STEPS, ROWS.start + inside[-1] // STEPS
        rows = slice(max(ROWS.start, first - CORNER_RISE), last + CORNER_RISE + 1)
        mouth = self._inside(crop[rows, slice(*MOUTH_COLUMNS)].astype(np.float32))  # [rows, columns]
        shut = np.flatnonzero(mouth.sum(axis=0) < min(LEAST_ROWS, opening))
        middle = (COLUMNS.start + COLUMNS.stop) // 2 - MOUTH_COLUMNS[0]
        left = shut[shut < middle].max(initial=-1)
        right = shut[shut >= middle].min(initial=mouth.shape[1])
        return Reading(opening, float(right - left - 1))

    def _inside(self, pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Where pixels [..., 3] are cavity or teeth."""
        luminance = pixels @ LUMA
        tooth = (pixels[..., 0] - pixels[..., 1] < self.tooth_below) & (luminance > TOOTH_LUMINANCE)
        inside: NDArray[np.bool_] = (luminance < self.dark_below) | tooth
        return inside


def _column(crop: Picture) -> NDArray[np.float32]:
    """The mouth's middle columns averaged, with STEPS rows a pixel between the pixels' centres."""
    rows = crop[ROWS, COLUMNS].astype(np.float32).mean(axis=1)  # [rows, 3]
    at = np.arange(len(rows) * STEPS) / STEPS
    return np.stack([np.interp(at, np.arange(len(rows)), rows[:, c]) for c in range(3)], axis=1).astype(np.float32)
