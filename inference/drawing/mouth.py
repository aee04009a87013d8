"""The mouth's layers: cavity, tongue, teeth, lips with specular, and the shadows that belong to them."""

from inference.drawing.appearance import Appearance
from inference.drawing.mouth_shape import CENTRE_X, MouthOutline, MouthShape
from inference.drawing.svg import Canvas, Point, curve, mix, outline

CAVITY_TOP = "#1c0509"
CAVITY_BOTTOM = "#4a1218"
TEETH = "#f7f1e8"
TOOTH_WIDTHS = (8.6, 6.8, 7.0, 6.4, 6.2)  # from the middle outwards


def draw_mouth(canvas: Canvas, shape: MouthShape, mouth: MouthOutline, look: Appearance) -> None:
    """All layers of the mouth, back to front."""
    if mouth.gap > 0.35:
        _draw_inside(canvas, shape, mouth)
    _draw_lips(canvas, shape, mouth, look)


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
    canvas.line(curve(mouth.inner_upper), "#12030a", 1.5 + 3.5 * reach, 0.25 + 0.30 * reach, 0.6 + reach, clip)
    canvas.line(curve(mouth.inner_lower), "#1c0509", 1.4 + 2.8 * reach, 0.85, 0.4 + 0.5 * reach, clip)


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
        [(0, "#b5a498", 1), (0.30, mix(TEETH, "#cbb8aa", 0.35), 1), (0.8, TEETH, 1), (1, "#e9dfd2", 1)],
    )
    gaps: list[Point] = []
    for side in (-1, 1):
        x = CENTRE_X
        for index, width in enumerate(TOOTH_WIDTHS):
            low = edge + length - (0.0, 1.1, 0.5, 1.2, 1.8)[index] - 0.02 * abs(x - CENTRE_X)
            canvas.path(_tooth(x, x + side * width, edge - 8, low), paint, shown, clip=clip)
            x += side * width
            gaps.append((x, low))
    gaps.append((CENTRE_X, edge + length))
    for x, low in gaps:
        canvas.line(f"M{x:.2f} {edge - 4:.2f}L{x:.2f} {low - 1.2:.2f}", "#8d7466", 0.7, 0.42 * shown, clip=clip)
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


def _draw_lips(canvas: Canvas, shape: MouthShape, mouth: MouthOutline, look: Appearance) -> None:
    upper, lower = outline(mouth.outer_upper, mouth.inner_upper), outline(mouth.inner_lower, mouth.outer_lower)
    middle = len(mouth.inner_upper) // 2
    up_top, up_low = mouth.outer_upper[middle][1] - 2, mouth.inner_upper[middle][1]
    low_top, low_low = mouth.inner_lower[middle][1], mouth.outer_lower[middle][1]
    dark, light = mix(look.lips, "#4d1220", 0.42), mix(look.lips, "#ffe3d8", 0.34)
    upper_paint = canvas.linear(
        (CENTRE_X, up_top),
        (CENTRE_X, up_low),
        [
            (0, mix(look.lips, look.skin, 0.22), 1),
            (0.45, mix(look.lips, dark, 0.25), 1),
            (1, mix(look.lips, dark, 0.72), 1),
        ],
    )
    lower_paint = canvas.linear(
        (CENTRE_X, low_top),
        (CENTRE_X, low_low),
        [
            (0, mix(look.lips, dark, 0.35), 1),
            (0.32, mix(look.lips, light, 0.22), 1),
            (0.75, look.lips, 1),
            (1, mix(look.lips, look.shadow, 0.45), 1),
        ],
    )
    upper_clip, lower_clip = canvas.clip(upper), canvas.clip(lower)
    canvas.path(upper, upper_paint)
    canvas.path(lower, lower_paint)
    _shade_lips(canvas, mouth, look, (upper_clip, lower_clip))
    seam = mix(look.lips, "#3a0c16", 0.66)
    if mouth.gap <= 1.2:
        canvas.line(curve(mouth.inner_upper[1:-1]), seam, 1.5, 0.9 * (1 - 0.5 * mouth.gap), 0.35)
    for x, y in (mouth.inner_upper[0], mouth.inner_upper[-1]):
        inward = 1.5 if x < CENTRE_X else -1.5
        canvas.ellipse((x + inward, y + 0.3), (3.4, 1.9), mix(look.deep, seam, 0.5), 0.62, 1.1)


def _shade_lips(canvas: Canvas, mouth: MouthOutline, look: Appearance, clips: tuple[str, str]) -> None:
    """Specular on the lower lip, the light edge of Cupid's bow, and the darker roll towards the corners."""
    upper_clip, lower_clip = clips
    half = mouth.half_width
    middle = len(mouth.inner_upper) // 2
    low_top, low_low = mouth.inner_lower[middle][1], mouth.outer_lower[middle][1]
    thickness = max(1.0, low_low - low_top)
    dark = mix(look.lips, "#3f0f1c", 0.6)
    side = canvas.linear(
        (CENTRE_X - half, 0),
        (CENTRE_X + half, 0),
        [(0, dark, 0.55), (0.25, dark, 0.0), (0.72, dark, 0.0), (1, dark, 0.62)],
    )
    for edge, clip in (
        (outline(mouth.outer_upper, mouth.inner_upper), upper_clip),
        (outline(mouth.inner_lower, mouth.outer_lower), lower_clip),
    ):
        canvas.path(edge, side, clip=clip)
    shine = 1.3
    y = low_top + 0.36 * thickness
    canvas.ellipse(
        (CENTRE_X - 0.18 * half, y), (0.34 * half, 0.13 * thickness + 0.5), "#fff4ee", 0.50, shine, lower_clip, turn=2
    )
    canvas.ellipse((CENTRE_X - 0.22 * half, y - 0.2), (0.15 * half, 0.9), "#ffffff", 0.55, 0.6, lower_clip)
    canvas.ellipse((CENTRE_X + 0.34 * half, y + 0.8), (0.16 * half, 1.0), "#fff0ea", 0.28, shine, lower_clip)
    bow = [(x, y - 0.6) for x, y in mouth.outer_upper[8:-8]]
    canvas.line(curve(bow), look.glow, 1.1, 0.55, 0.7)
    lower_edge = [(x, y + 0.2) for x, y in mouth.inner_lower[3:-3]]
    canvas.line(
        curve(lower_edge), mix(look.lips, "#ffe9e0", 0.5), 1.0, 0.25 if mouth.gap > 1.2 else 0.0, 0.5, lower_clip
    )


def draw_mouth_shadows(canvas: Canvas, shape: MouthShape, mouth: MouthOutline, look: Appearance) -> None:
    """Shadows on the skin around the lips: under the lower lip, at the corners, folds from the nose."""
    low = mouth.outer_lower[len(mouth.outer_lower) // 2][1]
    canvas.ellipse((CENTRE_X, low + 3.2), (0.62 * mouth.half_width, 3.6), look.shadow, 0.62 + 0.2 * shape.lip_tuck, 2.4)
    canvas.ellipse((CENTRE_X, low + 1.4), (0.42 * mouth.half_width, 1.6), look.deep, 0.34, 1.2)
    for side in (-1, 1):
        x, y = CENTRE_X + side * mouth.half_width, mouth.inner_upper[0][1]
        canvas.ellipse((x + side * 2.5, y + 1.5), (4.2, 4.6), look.shadow, 0.34 + 0.12 * shape.width, 2.2)
        fold = [
            (CENTRE_X + side * 24, 266.0),
            (CENTRE_X + side * 35, 280.0),
            (x + side * 8, y + 1),
            (x + side * 8.5, y + 9),
        ]
        canvas.line(curve(fold), look.shadow, 2.2, 0.16 + 0.20 * shape.width + 0.10 * shape.open, 1.8)
