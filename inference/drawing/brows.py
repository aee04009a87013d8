"""Brows: a soft ground and single hairs that turn from upright at the nose to lying along the tail."""

from collections.abc import Callable

from inference.drawing.appearance import Appearance
from inference.drawing.svg import Canvas, Point, curve, mix, outline

# Along the eye (-1 inner corner, 1 outer), height above its corners, what the arch adds, thickness; pixels.
SPINE = (
    (-0.98, 31.4, -1.0, 3.8),
    (-0.60, 32.2, -0.5, 5.9),
    (-0.12, 33.2, 0.7, 6.3),
    (0.38, 33.8, 2.0, 5.3),
    (0.80, 31.6, 1.6, 3.7),
    (1.18, 25.8, 0.0, 0.9),
)
HAIRS = 64


def draw_brow(canvas: Canvas, at: Callable[[float, float], Point], side: int, lift: float, look: Appearance) -> None:
    """One brow. ``at`` gives a point of the eye's frame (along, height); ``lift`` pixels raise it."""
    spine = [_point(at, row, lift, look) for row in SPINE]
    thick = [row[3] * look.brow_weight for row in SPINE]
    above = [(x, y - 0.36 * t) for (x, y), t in zip(spine, thick, strict=True)]
    below = [(x, y + 0.36 * t) for (x, y), t in zip(spine, thick, strict=True)]
    ordered = (above, below) if side > 0 else (above[::-1], below[::-1])
    first, last = spine[0], spine[-1]
    stops = [
        (0.0, look.brows, 0.05),
        (0.14, look.brows, 0.38),
        (0.34, look.brows, 0.72),
        (0.8, look.brows, 0.90),
        (1.0, look.brows, 0.6),
    ]
    canvas.line(curve(spine[1:-1]), look.brows, 4.4 * look.brow_weight, 0.30, 1.8)
    canvas.path(outline(*ordered), canvas.linear(first, last, stops), 0.8)
    for index in range(HAIRS):
        _draw_hair(canvas, spine, thick, index, side, look)


def _point(at: Callable[[float, float], Point], row: tuple[float, ...], lift: float, look: Appearance) -> Point:
    """A point of the spine. Sizes of eyes do not scale the brow's height."""
    along, height, arch, _ = row
    x, y = at(along, 0.0)
    return x, y - height - (look.brow_arch - 1.0) * 1.6 * arch - look.brow_height - lift


def _draw_hair(canvas: Canvas, spine: list[Point], thick: list[float], index: int, side: int, look: Appearance) -> None:
    """One hair: a root below the spine or on it, a tip above, farther out."""
    share = index / HAIRS
    place = share * (len(spine) - 1)
    i, f = int(place), place - int(place)
    x = spine[i][0] * (1 - f) + spine[i + 1][0] * f
    y = spine[i][1] * (1 - f) + spine[i + 1][1] * f
    t = thick[i] * (1 - f) + thick[i + 1] * f
    low = index % 2 == 0
    root = y + t * (0.52 if low else 0.10)
    reach = 1.6 + 5.0 * share * (1.25 - share) + 0.8 * ((index * 7) % 5) / 5
    rise = t * ((0.95 - 0.70 * share) if low else (0.66 - 0.62 * share))
    if share > 0.62:
        rise = -t * 0.15 * (share - 0.62) * 4 + t * 0.2
        root = y + t * (0.1 if low else -0.45)
    out = side * reach
    data = f"M{x:.2f} {root:.2f}Q{x + 0.30 * out:.2f} {root - 0.65 * rise:.2f} {x + out:.2f} {root - rise:.2f}"
    colour = mix(look.brows, "#120b09", 0.35) if index % 3 else mix(look.brows, "#d8a980", 0.16)
    canvas.line(data, colour, 0.75, 0.20 + 0.18 * min(1.0, 3 * share))
