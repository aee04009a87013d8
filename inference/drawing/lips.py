"""The lips: two rolls between the mouth's edges, lit like the skin around them."""

import numpy as np
from numpy.typing import NDArray

from inference.drawing.appearance import Appearance
from inference.drawing.light import KEY_COLOUR, Pixels, diffuse, linear, rim, shine
from inference.drawing.mouth_shape import CENTRE_X, MouthOutline
from inference.drawing.relief import Field, Grid
from inference.drawing.svg import Point, mix

MARGIN = 4  # pixels around the mouth that are painted too
SOFTNESS = 1.5  # pixels over which red passes into skin


def cover_with_lips(grid: Grid, mouth: MouthOutline, look: Appearance, light: Pixels) -> None:
    """Paint the lips over ``light`` [h, w, 3], linear, in place. What is between them is the mouth's inside."""
    rows, columns = _window(grid, mouth)
    part = Grid(grid.x[rows, columns], grid.y[rows, columns])
    if part.x.size == 0:
        return
    top, seam_up, seam_low, low = (
        _edge(points, part) for points in (mouth.outer_upper, mouth.inner_upper, mouth.inner_lower, mouth.outer_lower)
    )
    middle = 0.5 * (seam_up + seam_low)
    is_upper = part.y < middle
    thick_up, thick_low = np.maximum(seam_up - top, 0.8), np.maximum(low - seam_low, 0.8)
    upper, lower = np.clip((part.y - top) / thick_up, 0, 1), np.clip((part.y - seam_low) / thick_low, 0, 1)
    towards = _normals((part.x - CENTRE_X) / mouth.half_width, is_upper, upper, lower)
    colour = _paint(towards, is_upper, upper, lower, (part.x - CENTRE_X) / mouth.half_width, look)
    ends = np.clip((1 - np.abs(part.x - CENTRE_X) / mouth.half_width) / 0.07, 0, 1)  # the red fades out at the corners
    cover = (_inside(part.y - top, top) * _inside(low - part.y, low) * ends)[..., None]
    light[rows, columns] += cover * (colour - light[rows, columns])


def _window(grid: Grid, mouth: MouthOutline) -> tuple[slice, slice]:
    """Rows and columns of the grid that the lips reach."""
    ys = [y for _, y in (*mouth.outer_upper, *mouth.outer_lower)]
    rows = slice(*np.searchsorted(grid.y[:, 0], (min(ys) - MARGIN, max(ys) + MARGIN)))
    reach = mouth.half_width
    return rows, slice(*np.searchsorted(grid.x[0], (CENTRE_X - reach, CENTRE_X + reach)))


def _edge(points: list[Point], part: Grid) -> Field:
    """Height of an edge of the lips over each column, [1, w]."""
    xs, ys = zip(*points, strict=True)
    return np.interp(part.x[0], xs, ys).astype(np.float32)[None]


def _inside(distance: Field, edge: Field) -> Field:
    """Coverage 0..1 by the vertical distance to an edge; steep edges are softened as much as level ones."""
    slope = np.gradient(edge[0])[None]
    share = np.clip(distance / np.sqrt(1 + slope**2) / SOFTNESS + 0.5, 0.0, 1.0)
    soft: Field = (share * share * (3 - 2 * share)).astype(np.float32)
    return soft


def _normals(across: Field, is_upper: NDArray[np.bool_], upper: Field, lower: Field) -> Pixels:
    """Where the lips face, [h, w, 3]: the upper one down to the seam, the lower one up at first, then down."""
    # The upper lip swells in the middle (its tubercle), the lower one in two pillows beside the middle.
    swell_up = 0.62 * across + 0.30 * np.exp(-(((np.abs(across) - 0.17) / 0.1) ** 2)) * np.sign(across) * upper
    swell_low = 0.80 * across - 0.14 * np.sin(5.2 * across) * np.exp(-((across / 0.55) ** 2))
    right = np.where(is_upper, swell_up, swell_low)
    down = np.where(is_upper, -0.30 + 0.98 * upper, -0.78 + 1.46 * lower)
    vectors = np.stack([right, down, np.ones_like(right)], axis=-1)
    unit: Pixels = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
    return unit


def _paint(
    towards: Pixels, is_upper: NDArray[np.bool_], upper: Field, lower: Field, across: Field, look: Appearance
) -> Pixels:
    """Linear light of the lips, [h, w, 3]."""
    red, deep = linear(look.lips), linear(mix(look.lips, "#5a1420", 0.55))
    skin = linear(mix(look.skin, look.lips, 0.45))
    inner = np.where(is_upper, np.clip(upper - 0.55, 0, 1) / 0.45, np.clip(0.30 - lower, 0, 1) / 0.30)
    corner = np.clip(np.abs(across) - 0.62, 0, 1) / 0.38
    outer = np.where(is_upper, np.clip(0.30 - upper, 0, 1) / 0.30, np.clip(lower - 0.78, 0, 1) / 0.22)
    dark = np.clip(0.55 * inner**1.5 + 0.65 * corner, 0, 1)[..., None]
    albedo = red + dark * (deep - red)
    albedo = albedo + 0.55 * outer[..., None] * (skin - albedo)
    open_to_light = 1 - 0.50 * (inner**2)[..., None] - 0.25 * (corner**2)[..., None]
    light = diffuse(towards, albedo.astype(np.float32), open_to_light.astype(np.float32)) * 1.06
    strength = np.where(is_upper, 0.35, 1.0)[..., None] * (1 - corner[..., None])
    gleam = strength * (0.10 * shine(towards, 12) + (0.08 + 0.30 * look.gloss) * shine(towards, 70))
    painted: Pixels = (light + gleam * KEY_COLOUR + 0.12 * rim(towards)).astype(np.float32)
    return painted
