"""The mouth truth (six numbers) and the outlines that follow from it."""

from dataclasses import dataclass
from math import cos, exp, pi

import numpy as np
from numpy.typing import NDArray

from inference.drawing.appearance import Appearance
from inference.drawing.svg import Point

CENTRE_X = 256.0
MOUTH_Y = 298.0  # height of the closed lips' line in the frame
HALF_WIDTH = 36.0
MAX_GAP = 33.0  # distance of the lips at open = 1
STEPS = 33  # points along one lip edge


@dataclass(frozen=True, slots=True)
class MouthShape:
    """Six numbers in 0..1; all zero is the closed mouth at rest."""

    open: float = 0.0
    width: float = 0.0
    round: float = 0.0
    upper_teeth: float = 0.0
    tongue: float = 0.0
    lip_tuck: float = 0.0

    @staticmethod
    def from_array(values: NDArray[np.float32]) -> "MouthShape":
        """A shape from [6] values, clamped to 0..1."""
        return MouthShape(*(float(v) for v in np.clip(values, 0.0, 1.0)))


@dataclass(frozen=True, slots=True)
class MouthOutline:
    """Lip edges from left to right corner in frame pixels, and the distances the rest of the face follows."""

    outer_upper: list[Point]
    inner_upper: list[Point]
    inner_lower: list[Point]
    outer_lower: list[Point]
    half_width: float
    centre_y: float
    gap: float  # distance of the inner edges in the middle
    raise_upper: float  # how far the upper lip is up
    drop_lower: float  # how far the lower lip's inner edge is down
    jaw: float  # how far the chin is down


def mouth_outline(shape: MouthShape, look: Appearance) -> MouthOutline:
    """The lip edges of one mouth shape on one face."""
    half = HALF_WIDTH * look.mouth_width * (1 + 0.20 * shape.width - 0.36 * shape.round - 0.05 * shape.open)
    centre_y = MOUTH_Y + look.mouth_height
    gap = MAX_GAP * shape.open
    raise_upper = 0.19 * gap + 2.2 * shape.upper_teeth * min(1.0, 4 * shape.open) + 2.6 * shape.lip_tuck
    drop_lower = gap - 0.19 * gap - 1.2 * shape.lip_tuck
    corner = centre_y - look.smile * (1 - 0.8 * shape.round) - 1.6 * shape.width + 0.17 * gap
    lean = look.lean * (1 - 0.7 * shape.round)
    upper = look.upper_lip * 10.0 * (1 + 0.22 * shape.round - 0.12 * shape.width - 0.14 * shape.open)
    lower = (
        look.lower_lip
        * 14.0
        * (1 + 0.14 * shape.round - 0.14 * shape.width - 0.18 * shape.open - 0.42 * shape.lip_tuck)
    )
    roundness = 0.5 + 0.12 * (1 - shape.round)
    at = [2 * i / (STEPS - 1) - 1 for i in range(STEPS)]
    line = [_rest_line(s, centre_y, corner, shape.open) for s in at]
    reach = 1 - 0.34 * shape.round * (1 - 0.5 * shape.open)  # rounded lips stay together at the corners
    swell = [max(0.0, 1 - (s / reach) ** 2) ** roundness for s in at]
    inner_upper = [y - raise_upper * p for y, p in zip(line, swell, strict=True)]
    inner_lower = [max(y + drop_lower * p, top) for y, p, top in zip(line, swell, inner_upper, strict=True)]
    oval = [max(0.0, 1 - s * s) for s in at]
    outer_upper = [
        min(y - raise_upper * p**0.66 - upper * _bow(s), top)
        for y, p, s, top in zip(line, oval, at, inner_upper, strict=True)
    ]
    plain = [_corner_line(s, centre_y, corner) for s in at]
    outer_lower = [
        max(y + (drop_lower + lower) * p**0.62, low) for y, p, low in zip(plain, oval, inner_lower, strict=True)
    ]
    xs = [CENTRE_X + half * s for s in at]
    sides = [
        [y - lean * s for y, s in zip(ys, at, strict=True)]
        for ys in (outer_upper, inner_upper, inner_lower, outer_lower)
    ]
    edges = [list(zip(xs, ys, strict=True)) for ys in sides]
    jaw = 0.52 * gap + 1.0 * shape.round
    return MouthOutline(
        edges[0], edges[1], edges[2], edges[3], half, centre_y, raise_upper + drop_lower, raise_upper, drop_lower, jaw
    )


def _rest_line(s: float, centre_y: float, corner_y: float, opened: float) -> float:
    """Height of the closed lips' line at s in -1..1: raised corners, a tubercle in the middle that opening flattens."""
    wave = 1.1 * exp(-((s / 0.17) ** 2)) - 0.8 * exp(-(((abs(s) - 0.4) / 0.2) ** 2))
    return _corner_line(s, centre_y, corner_y) + wave * (1 - 0.75 * min(1.0, 2 * opened))


def _corner_line(s: float, centre_y: float, corner_y: float) -> float:
    """The same line without its wave."""
    return centre_y + (corner_y - centre_y) * float(abs(s) ** 2.0)


def _bow(s: float) -> float:
    """Thickness of the upper lip at s in -1..1: Cupid's bow with its peaks at a quarter of the half width."""
    distance = abs(s)
    peak = 0.25
    if distance < peak:
        return 1 - 0.20 * (0.5 + 0.5 * cos(pi * distance / peak))
    rest = (distance - peak) / (1 - peak)
    return float(max(0.0, 1 - rest) ** 0.92) * (1 + 0.10 * rest)
