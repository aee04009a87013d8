"""The head's skin: face shape, ears, neck, light and shadow, nose, cheeks, chin."""

from inference.drawing.appearance import Appearance
from inference.drawing.mouth_shape import CENTRE_X, MouthOutline, MouthShape
from inference.drawing.svg import Canvas, Point, curve, mirror, mix

CHIN_Y = 350.0
NOSE_Y = 258.0


def face_path(look: Appearance, jaw: float) -> str:
    """The contour of the face as a closed path; the chin is ``jaw`` pixels down, the jaw's corners follow."""
    right = _half_contour(look, jaw)
    points = right + mirror(right, CENTRE_X)[1:-1]
    return curve(points, closed=True)


def _half_contour(look: Appearance, jaw: float) -> list[Point]:
    """From the top of the head along the right side to the chin."""
    wide, jaw_wide = look.face_width, look.jaw_width * look.face_width
    chin = CHIN_Y + look.chin
    rows = [
        (0.0, 92.0),
        (48.0 * wide, 100.0),
        (80.0 * wide, 134.0),
        (91.0 * wide, 178.0),
        (92.0 * wide, 218.0),
        (88.0 * wide, 254.0),
        (78.5 * jaw_wide, 288.0 + 0.22 * jaw),
        (62.0 * jaw_wide, 316.0 + 0.5 * jaw + 0.4 * look.chin),
        (41.0 * jaw_wide, 337.0 + 0.85 * jaw + 0.8 * look.chin),
        (19.0 * jaw_wide, chin - 2.6 + jaw),
        (0.0, chin + jaw),
    ]
    return [(CENTRE_X + x, y) for x, y in rows]


def _neck_path(dx: float) -> str:
    """Neck and upper chest; the neck leans with the head."""
    x, base = CENTRE_X + 0.75 * dx, CENTRE_X
    return (
        f"M{x - 48:.2f} 270C{x - 47:.2f} 330 {base - 46:.2f} 372 {base - 60:.2f} 396"
        f"C{base - 84:.2f} 414 {base - 110:.2f} 424 {base - 120:.2f} 440"
        f"L{base} 512L{base + 120:.2f} 440C{base + 110:.2f} 424 {base + 84:.2f} 414 {base + 60:.2f} 396"
        f"C{base + 46:.2f} 372 {x + 47:.2f} 330 {x + 48:.2f} 270Z"
    )


def draw_chin_shadow(canvas: Canvas, look: Appearance, jaw: float) -> None:
    """The shadow of chin and jaw on the neck, in the head's coordinates."""
    clip = canvas.clip(_neck_path(0.0))
    chin = CHIN_Y + look.chin + jaw
    shadow = mix(look.shadow, look.deep, 0.42)
    canvas.ellipse((CENTRE_X + 6, chin - 14), (74, 36), shadow, 0.92, 7, clip)
    canvas.ellipse((CENTRE_X + 10, chin + 2), (52, 18), look.deep, 0.42, 6, clip)


def draw_neck(canvas: Canvas, look: Appearance, dx: float) -> None:
    """Neck and upper chest with tendons and collar bones, without the chin's shadow."""
    x, base, neck = CENTRE_X + 0.75 * dx, CENTRE_X, _neck_path(dx)
    paint = canvas.linear(
        (base - 60, 0),
        (base + 60, 0),
        [
            (0, mix(look.skin, look.shadow, 0.55), 1),
            (0.3, mix(look.skin, look.glow, 0.15), 1),
            (0.62, mix(look.skin, look.shadow, 0.3), 1),
            (1, mix(look.shadow, look.deep, 0.35), 1),
        ],
    )
    canvas.path(neck, paint)
    clip = canvas.clip(neck)
    for side in (-1, 1):
        tendon = [(x + side * 34, 352.0), (base + side * 24, 386.0), (base + side * 9, 416.0)]
        canvas.line(curve(tendon), look.shadow, 5, 0.30, 3.2, clip)
        collar_bone = [(base + side * 12, 424.0), (base + side * 46, 418.0), (base + side * 92, 422.0)]
        canvas.line(curve(collar_bone), look.shadow, 3.4, 0.42, 2.2, clip)
        canvas.line(curve([(px, y - 4.5) for px, y in collar_bone]), look.glow, 2.6, 0.38, 2.0, clip)
    canvas.ellipse((base, 423), (6, 8), look.shadow, 0.42, 3, clip)


def draw_ears(canvas: Canvas, look: Appearance) -> None:
    """Both ears; most hair styles cover them partly."""
    for side in (-1, 1):
        x = CENTRE_X + side * 92 * look.face_width
        points = [
            (x - side * 3, 200.0),
            (x + side * 9, 194.0),
            (x + side * 14, 208.0),
            (x + side * 11, 232.0),
            (x + side * 4, 248.0),
            (x - side * 5, 246.0),
        ]
        base = mix(look.skin, look.blush, 0.45) if side < 0 else mix(look.shadow, look.blush, 0.35)
        canvas.path(curve(points, closed=True), base)
        fold = [(x + side * 1, 206.0), (x + side * 8, 204.0), (x + side * 8, 222.0), (x + side * 3, 236.0)]
        canvas.line(curve(fold), look.deep, 2.0, 0.45, 0.9)


def draw_skin(canvas: Canvas, shape: MouthShape, mouth: MouthOutline, look: Appearance) -> str:
    """The face's surface with its large light and shadow; returns the clip of the face."""
    path = face_path(look, mouth.jaw)
    clip = canvas.clip(path)
    paint = canvas.radial(
        (CENTRE_X - 30, 196),
        176,
        [
            (0, mix(look.skin, look.glow, 0.55), 1),
            (0.45, look.skin, 1),
            (0.82, mix(look.skin, look.shadow, 0.5), 1),
            (1, look.shadow, 1),
        ],
        1.12,
    )
    canvas.path(path, paint)
    _draw_sides(canvas, look, path, clip, mouth.jaw)
    _draw_cheeks(canvas, shape, mouth, look, clip)
    _draw_chin(canvas, mouth, look, clip)
    return clip


def _draw_sides(canvas: Canvas, look: Appearance, path: str, clip: str, jaw: float) -> None:
    """The face turning away from the light: two rims of shadow that follow its oval, and the light of the forehead."""
    height = 0.5 * (CHIN_Y + look.chin + jaw - 84)
    middle, radius = CHIN_Y + look.chin + jaw - height, 96 * look.face_width
    squeeze = height / radius
    right = canvas.radial(
        (CENTRE_X - 13, middle),
        radius * 1.13,
        [
            (0, look.shadow, 0),
            (0.62, look.shadow, 0),
            (0.8, look.shadow, 0.26),
            (0.93, look.shadow, 0.62),
            (1, look.deep, 0.62),
        ],
        squeeze,
    )
    left = canvas.radial(
        (CENTRE_X + 9, middle),
        radius * 1.10,
        [(0, look.shadow, 0), (0.78, look.shadow, 0), (0.93, look.shadow, 0.30), (1, look.shadow, 0.62)],
        squeeze,
    )
    canvas.path(path, right)
    canvas.path(path, left)
    rim = [
        (CENTRE_X + 91.5 * look.face_width, 206.0),
        (CENTRE_X + 86 * look.face_width, 256.0),
        (CENTRE_X + 74 * look.face_width, 294.0),
    ]
    canvas.line(curve(rim), look.light, 2.2, 0.26, 1.4, clip)
    canvas.ellipse((CENTRE_X - 18, 150), (52, 26), look.glow, 0.62, 13, clip)


def _draw_cheeks(canvas: Canvas, shape: MouthShape, mouth: MouthOutline, look: Appearance, clip: str) -> None:
    """Blush, cheekbone light, and the hollow that a rounded or open mouth draws in."""
    lift = 2.0 * shape.width - 0.12 * mouth.jaw
    for side in (-1, 1):
        x = CENTRE_X + side * 55 * look.face_width
        canvas.ellipse((x, 252 - lift), (25, 17), look.blush, 0.50, 9, clip, turn=-14 * side)
        light = 0.66 if side < 0 else 0.38
        canvas.ellipse(
            (x - side * 2, 236 - lift), (20, 9), look.glow, light + 0.12 * shape.width, 6.5, clip, turn=-12 * side
        )
        hollow = 0.20 + 0.22 * shape.round + 0.16 * shape.open
        canvas.ellipse(
            (CENTRE_X + side * 58, 290 + 0.35 * mouth.jaw), (11, 27), look.shadow, hollow, 8, clip, turn=16 * side
        )


def _draw_chin(canvas: Canvas, mouth: MouthOutline, look: Appearance, clip: str) -> None:
    y = CHIN_Y + look.chin + mouth.jaw
    canvas.ellipse((CENTRE_X, y - 1), (44, 7), look.shadow, 0.62, 5, clip)
    canvas.ellipse((CENTRE_X - 3, y - 17), (17, 8.5), look.glow, 0.58, 5, clip)
    canvas.ellipse((CENTRE_X, y - 15), (22, 11), look.blush, 0.22, 6, clip)


def draw_nose(canvas: Canvas, look: Appearance) -> None:
    """Bridge, tip, wings and nostrils; the light comes from the upper left."""
    y, wide = NOSE_Y + look.nose_length, look.nose_width
    x = CENTRE_X
    side = [(x + 9, 196.0), (x + 8 * wide, 222.0), (x + 12 * wide, y - 12), (x + 15 * wide, y)]
    canvas.line(curve(side), look.shadow, 8, 0.48, 3.6)
    left = [(x - 11, 194.0), (x - 9 * wide, 220.0), (x - 13 * wide, y - 10)]
    canvas.line(curve(left), look.shadow, 4.5, 0.24, 2.8)
    canvas.line(f"M{x - 1.5:.2f} 192L{x - 2:.2f} {y - 16:.2f}", look.glow, 6.5, 0.62, 2.8)
    canvas.ellipse((x, y - 4), (15 * wide, 11), look.blush, 0.26, 5)
    canvas.ellipse((x + 1.5, y + 9.5), (17 * wide, 4.6), look.shadow, 0.62, 2.6)
    for sign in (-1, 1):
        wing = [
            (x + sign * 13.5 * wide, y - 10),
            (x + sign * 18.3 * wide, y - 2),
            (x + sign * 17.0 * wide, y + 4.6),
            (x + sign * 11.6 * wide, y + 5.6),
        ]
        canvas.line(curve(wing), look.deep, 1.7, 0.42, 0.9)
        canvas.ellipse((x + sign * 16 * wide, y - 2), (3.2, 4.4), look.glow, 0.30 if sign < 0 else 0.12, 1.8)
        canvas.ellipse((x + sign * 8.0 * wide, y + 5.0), (4.3 * wide, 1.9), look.deep, 0.92, 0.8, turn=-13 * sign)
    tip = [(x - 7.5 * wide, y + 6.4), (x, y + 8.6), (x + 7.5 * wide, y + 6.4)]
    canvas.line(curve(tip), look.deep, 1.4, 0.40, 0.9)
    canvas.ellipse((x - 2.6, y - 5.2), (4.6, 3.4), look.glow, 0.85, 1.7)
    canvas.ellipse((x - 3.0, y - 6.0), (1.9, 1.3), "#ffffff", 0.55, 0.8)


def draw_philtrum(canvas: Canvas, mouth: MouthOutline, look: Appearance) -> None:
    """The groove between nose and upper lip; it shortens as the lip rises."""
    top, low = NOSE_Y + look.nose_length + 12, mouth.outer_upper[len(mouth.outer_upper) // 2][1]
    canvas.line(f"M{CENTRE_X:.2f} {top:.2f}L{CENTRE_X:.2f} {low - 1:.2f}", look.shadow, 4.2, 0.38, 1.7)
    for sign, opacity in ((-1, 0.42), (1, 0.22)):
        canvas.line(
            f"M{CENTRE_X + sign * 4.2:.2f} {top:.2f}L{CENTRE_X + sign * 5.6:.2f} {low - 1.5:.2f}",
            look.glow,
            2.0,
            opacity,
            1.1,
        )
