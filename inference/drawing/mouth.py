"""What is between the lips: cavity, tongue, teeth, and the line where they meet."""

from inference.drawing.appearance import Appearance
from inference.drawing.mouth_shape import CENTRE_X, MouthOutline, MouthShape
from inference.drawing.svg import Canvas, Point, curve, mix, outline

CAVITY_TOP = "#1c0509"
CAVITY_BOTTOM = "#4a1218"
TEETH = "#f7f1e8"
TOOTH_WIDTHS = (8.6, 6.8, 7.0, 6.4, 6.2)  # from the middle outwards


def draw_mouth(canvas: Canvas, shape: MouthShape, mouth: MouthOutline, look: Appearance) -> None:
    """All layers of the mouth's inside, back to front."""
    if mouth.gap > 0.35:
        _draw_inside(canvas, shape, mouth)
    _draw_seam(canvas, mouth, look)


def _draw_inside(canvas: Canvas, shape: MouthShape, mouth: MouthOutline) -> None:
    inside = outline(mouth.inner_upper, mouth.inner_lower)
    clip = canvas.clip(inside)
    top, bottom = mouth.centre_y - mouth.raise_upper, mouth.centre_y + mouth.drop_lower
    paint = canvas.linear(
        (CENTRE_X, top),
        (CENTRE_X, max(bottom, top + 12)),
        [(0, CAVITY_TOP, 1), (0.5, "#2a090e", 1), (1, CAVITY_BOTTOM, 1)],
    )
    canvas.path(inside, paint)
    _draw_tongue(canvas, shape, mouth, clip)
    if shape.upper_teeth > 0.02:
        _draw_teeth(canvas, shape, mouth, clip)
    # The lips throw a shadow into the cavity: it also keeps tongue and lower lip apart.
    reach = min(1.0, mouth.gap / 12)
    canvas.line(curve(mouth.inner_upper), "#12030a", 1.5 + 3.8 * reach, 0.32 + 0.30 * reach, 0.6 + reach, clip)
    canvas.line(curve(mouth.inner_lower), "#1c0509", 1.6 + 2.8 * reach, 0.92, 0.4 + 0.4 * reach, clip)


def _draw_tongue(canvas: Canvas, shape: MouthShape, mouth: MouthOutline, clip: str) -> None:
    bottom = mouth.centre_y + mouth.drop_lower
    height = mouth.gap * (0.20 + 0.52 * shape.tongue)
    radii = (mouth.half_width * (0.66 - 0.1 * shape.tongue), height + 5)
    centre = (CENTRE_X, bottom + 5)
    paint = canvas.radial(
        (CENTRE_X, bottom - height * 0.45),
        mouth.half_width * 0.7,
        [(0, "#d0696c", 1), (0.55, "#b04a52", 1), (1, "#6e222c", 1)],
        0.7,
    )
    canvas.ellipse(centre, radii, paint, 0.72 + 0.28 * shape.tongue, 0.6, clip)
    if height > 3:
        groove = [(CENTRE_X, bottom - height * 0.85), (CENTRE_X - 0.4, bottom - height * 0.4), (CENTRE_X, bottom + 2)]
        canvas.line(curve(groove), "#6a1f2a", 1.6, 0.35, 0.9, clip)
        canvas.ellipse((CENTRE_X - 5, bottom - height * 0.62), (6, 1.8), "#ffd9d4", 0.30, 1.2, clip)


def _draw_teeth(canvas: Canvas, shape: MouthShape, mouth: MouthOutline, clip: str) -> None:
    """The upper row, in two halves of single teeth with rounded lower corners, shaded from above and to the sides."""
    edge = mouth.centre_y - mouth.raise_upper
    length = 3.0 + 9.0 * shape.upper_teeth
    shown = min(1.0, shape.upper_teeth / 0.15)
    paint = canvas.linear(
        (CENTRE_X, edge - 1),
        (CENTRE_X, edge + length),
        [(0, "#a8948a", 1), (0.28, mix(TEETH, "#cbb8aa", 0.45), 1), (0.72, TEETH, 1), (1, "#eee4d6", 1)],
    )
    gaps: list[Point] = []
    for side in (-1, 1):
        x = CENTRE_X
        for index, width in enumerate(TOOTH_WIDTHS):
            low = edge + length - (0.0, 0.7, 0.2, 0.6, 0.8)[index] - 0.0042 * (x + side * width / 2 - CENTRE_X) ** 2
            canvas.path(_tooth(x, x + side * width, edge - 8, low), paint, shown, clip=clip)
            x += side * width
            gaps.append((x, low))
    gaps.append((CENTRE_X, edge + length))
    for x, low in gaps:
        canvas.line(f"M{x:.2f} {edge - 4:.2f}L{x:.2f} {low - 1.2:.2f}", "#8d7466", 0.7, 0.26 * shown, clip=clip)
    sides = canvas.linear(
        (CENTRE_X - mouth.half_width, edge),
        (CENTRE_X + mouth.half_width, edge),
        [
            (0, "#1c0509", 0.92),
            (0.22, "#1c0509", 0.45),
            (0.42, "#1c0509", 0.0),
            (0.62, "#1c0509", 0.0),
            (0.8, "#1c0509", 0.5),
            (1, "#1c0509", 0.95),
        ],
    )
    canvas.path(f"M{CENTRE_X - 50} {edge - 10:.2f}h100v{length + 10.4:.2f}h-100Z", sides, shown, clip=clip)


def _tooth(inner: float, outer: float, top: float, low: float) -> str:
    corner = 0.24 * (outer - inner)
    return (
        f"M{inner:.2f} {top:.2f}L{inner:.2f} {low - 1.6:.2f}Q{inner:.2f} {low:.2f} {inner + corner:.2f} {low:.2f}"
        f"L{outer - corner:.2f} {low:.2f}Q{outer:.2f} {low:.2f} {outer:.2f} {low - 2.0:.2f}L{outer:.2f} {top:.2f}Z"
    )


def _draw_seam(canvas: Canvas, mouth: MouthOutline, look: Appearance) -> None:
    """The line where closed lips meet, and the pits at the corners."""
    seam = mix(look.lips, "#2c0710", 0.62)
    if mouth.gap <= 1.2:
        canvas.line(curve(mouth.inner_upper[1:-1]), seam, 2.6, 0.35 * (1 - 0.5 * mouth.gap), 1.0)
        canvas.line(curve(mouth.inner_upper[2:-2]), seam, 1.3, 0.85 * (1 - 0.5 * mouth.gap), 0.35)
    for x, y in (mouth.inner_upper[0], mouth.inner_upper[-1]):
        inward = 2.0 if x < CENTRE_X else -2.0
        canvas.ellipse((x + inward, y + 0.2), (3.2, 1.2), mix(look.deep, seam, 0.6), 0.60, 1.0)
