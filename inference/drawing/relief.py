"""A face as a relief: smooth bumps on an oval, and the surface's normals."""

from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]  # [h, w]
REACH = 3.6  # standard deviations beyond which a bump is nothing


@dataclass(frozen=True, slots=True)
class Bump:
    """A Gaussian hill; pixels, ``turn`` in degrees clockwise. Negative heights are hollows."""

    x: float
    y: float
    width: float  # standard deviation across
    tall: float  # standard deviation down
    height: float
    turn: float = 0.0


@dataclass(frozen=True, slots=True)
class Grid:
    """Coordinates of pixel centres in the head's own frame, [h, w] each."""

    x: Field
    y: Field

    @staticmethod
    def of(box: tuple[int, int, int, int], dx: float, dy: float) -> "Grid":
        """The pixels of a box of the frame when the head has moved by (dx, dy)."""
        x1, y1, x2, y2 = box
        columns, rows = np.arange(x1, x2) + 0.5 - dx, np.arange(y1, y2) + 0.5 - dy
        x, y = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
        return Grid(x, y)


def hill(grid: Grid, bump: Bump) -> Field:
    """One bump over the grid, [h, w]."""
    c, s = np.float32(cos(radians(bump.turn))), np.float32(sin(radians(bump.turn)))
    x, y = grid.x - np.float32(bump.x), grid.y - np.float32(bump.y)
    across, down = (c * x + s * y) / np.float32(bump.width), (c * y - s * x) / np.float32(bump.tall)
    result: Field = np.float32(bump.height) * np.exp(np.float32(-0.5) * (across * across + down * down))
    return result


def hills(grid: Grid, bumps: list[Bump]) -> Field:
    """The sum of all bumps, [h, w]; those that do not reach the grid cost nothing."""
    total = np.zeros_like(grid.x)
    for bump in bumps:
        reach = REACH * max(bump.width, bump.tall)
        rows = slice(*np.searchsorted(_rows(grid), (bump.y - reach, bump.y + reach)))
        columns = slice(*np.searchsorted(grid.x[0], (bump.x - reach, bump.x + reach)))
        if rows.start < rows.stop and columns.start < columns.stop:
            total[rows, columns] += hill(Grid(grid.x[rows, columns], grid.y[rows, columns]), bump)
    return total


def _rows(grid: Grid) -> Field:
    """The rows' heights; a grid that is bent is bent alike in all columns."""
    return grid.y[:, 0]


def normals(height: Field) -> NDArray[np.float32]:
    """Unit normals [h, w, 3] of a height field: right, down, towards the viewer."""
    down, right = np.gradient(height)
    vectors = np.stack([-right, -down, np.ones_like(height)], axis=-1)
    unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
    return unit
