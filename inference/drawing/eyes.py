"""Eyes and brows: white, iris with catch-light, lids that blink, lashes, crease, brow."""

from dataclasses import dataclass
from math import cos, pi, sin

from inference.drawing.appearance import Appearance
from inference.drawing.svg import Canvas, Point, curve, mix, outline

CENTRE_X = 256.0
EYE_X = 40.5  # from the middle of the face
EYE_Y = 207.0
HALF_WIDTH = 22.0
UPPER = 11.8  # height of the open upper lid above the corners' line
LOWER = 6.4


@dataclass(frozen=True, slots=True)
class Pose:
    """Everything that moves apart from the mouth; pixels, or 0..1 for the blink."""

    dx: float = 0.0  # head to the right
    dy: float = 0.0  # head down
    blink: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    brow: float = 0.0  # brows up
    breath: float = 0.0  # shoulders up


@dataclass(frozen=True, slots=True)
class _Eye:
    """One eye's place; ``side`` is -1 on the picture's left."""

    side: int
    x: float
    y: float
    scale: float

    def at(self, along: float, height: float) -> Point:
        """A point ``along`` (-1 inner corner, 1 outer corner) and ``height`` pixels above the corners' line."""
        slant = 1.3 * along
        return self.x + self.side * along * HALF_WIDTH * self.scale, self.y - slant - height * self.scale


_LID = ((-1.0, -0.12), (-0.86, 0.30), (-0.5, 0.84), (-0.05, 1.0), (0.42, 0.86), (0.8, 0.42), (1.0, 0.0))
_LOWER_LID = ((-1.0, -0.2), (-0.8, 0.28), (-0.35, 0.86), (0.2, 1.0), (0.62, 0.78), (0.88, 0.34), (1.0, 0.0))


def draw_eyes(canvas: Canvas, pose: Pose, look: Appearance) -> None:
    """Both eyes and brows."""
    for side in (-1, 1):
        eye = _Eye(side, CENTRE_X + side * EYE_X * look.face_width, EYE_Y + look.eye_height, look.eye_size)
        _draw_socket(canvas, eye, look)
        _draw_ball(canvas, eye, pose, look)
        _draw_lids(canvas, eye, pose, look)
        _draw_brow(canvas, eye, pose, look)


def _upper_lid(eye: _Eye, blink: float) -> list[Point]:
    """The upper lid's edge; closing brings it down to the lower lid."""
    points = []
    for along, height in _LID:
        shut = -LOWER * 0.86 * max(0.0, 1 - along * along) ** 0.7
        points.append(eye.at(along, (1 - blink) * UPPER * height + blink * shut))
    return points


def _lower_lid(eye: _Eye) -> list[Point]:
    return [eye.at(along, -LOWER * height) for along, height in _LOWER_LID]


def _draw_socket(canvas: Canvas, eye: _Eye, look: Appearance) -> None:
    inner = eye.at(-1.0, 6)
    canvas.ellipse((inner[0] - eye.side * 3, inner[1]), (9, 13), look.shadow, 0.40, 5)
    canvas.ellipse(eye.at(0.15, 12.5), (21, 5.5), look.shadow, 0.34, 3.2, turn=-4 * eye.side)
    canvas.ellipse(eye.at(0.2, 17), (15, 3.0), look.glow, 0.45, 2.4, turn=-6 * eye.side)
    canvas.ellipse(eye.at(0.05, -10), (17, 3.4), look.shadow, 0.26, 2.4)
    canvas.ellipse(eye.at(0.25, -17), (15, 4), look.glow, 0.34, 3.2)


def _draw_ball(canvas: Canvas, eye: _Eye, pose: Pose, look: Appearance) -> None:
    if pose.blink > 0.97:
        return
    opening = outline(_sorted(_upper_lid(eye, pose.blink)), _sorted(_lower_lid(eye)))
    clip = canvas.clip(opening)
    white = canvas.radial((eye.x - 3, eye.y), 22, [(0, "#fbf8f5", 1), (0.55, "#efe9e6", 1), (1, "#c9b8b2", 1)], 0.8)
    canvas.path(opening, white)
    corner = eye.at(-0.93, -0.6)
    canvas.ellipse(corner, (3.4, 2.6), "#d98d83", 0.85, 0.7, clip)
    x, y = eye.x - eye.side * 0.6 + pose.gaze_x, eye.y - 2.9 + pose.gaze_y
    radius = 11.3 * eye.scale
    rim = mix(look.iris, "#150d0c", 0.72)
    iris = canvas.radial(
        (x, y + 2.4),
        radius * 1.16,
        [
            (0, mix(look.iris, "#fff2c8", 0.42), 1),
            (0.42, mix(look.iris, "#ffeebb", 0.16), 1),
            (0.72, look.iris, 1),
            (0.9, rim, 1),
            (1, rim, 1),
        ],
    )
    canvas.ellipse((x, y), (radius, radius), rim, 0.55, 0.9, clip)
    canvas.ellipse((x, y), (radius * 0.95, radius * 0.95), iris, clip=clip)
    for index in range(22):
        _iris_ray(canvas, (x, y), radius, index, look, clip)
    canvas.ellipse((x, y), (radius * 0.43, radius * 0.43), "#0e0a0b", 0.96, 0.35, clip)
    canvas.path(
        opening,
        canvas.linear(
            (0, eye.y - 12), (0, eye.y + 4), [(0, "#2a1614", 0.75), (0.45, "#3a211d", 0.28), (1, "#3a211d", 0.0)]
        ),
    )
    canvas.ellipse((x - 3.4, y - 4.0), (2.5, 2.3), "#ffffff", 0.96, 0.25, clip)
    canvas.ellipse((x + 3.8, y + 4.2), (1.7, 1.3), "#ffffff", 0.40, 0.5, clip)


def _iris_ray(canvas: Canvas, centre: Point, radius: float, index: int, look: Appearance, clip: str) -> None:
    """One fibre of the iris; lengths vary in a fixed pattern."""
    angle = 2 * pi * (index + 0.3 * ((index * 7) % 5) / 5) / 22
    inner, outer = 0.46, 0.72 + 0.16 * ((index * 5) % 7) / 7
    (x, y), (c, s) = centre, (cos(angle), sin(angle))
    near, far = radius * inner, radius * outer
    data = f"M{x + c * near:.2f} {y + s * near:.2f}L{x + c * far:.2f} {y + s * far:.2f}"
    colour = mix(look.iris, "#fff4d2", 0.55) if index % 3 else mix(look.iris, "#1c1210", 0.5)
    canvas.line(data, colour, 0.55, 0.38, clip=clip)


def _draw_lids(canvas: Canvas, eye: _Eye, pose: Pose, look: Appearance) -> None:
    upper, lower = _upper_lid(eye, pose.blink), _lower_lid(eye)
    crease = [eye.at(along, UPPER * height + 4.4 - 0.9 * abs(along)) for along, height in _LID[1:]]
    if pose.blink > 0.02:
        lid = outline(_sorted(_upper_lid(eye, 0.0)), _sorted(upper))
        top, bottom = eye.y - 13, eye.y + 7
        paint = canvas.linear(
            (0, top),
            (0, bottom),
            [
                (0, mix(look.skin, look.shadow, 0.55), 1),
                (0.5, mix(look.skin, look.blush, 0.4), 1),
                (1, mix(look.skin, look.shadow, 0.4), 1),
            ],
        )
        canvas.path(lid, paint, min(1.0, pose.blink * 6))
    canvas.line(curve(crease), look.deep, 1.5, 0.55 * (1 - 0.55 * pose.blink), 0.5)
    canvas.line(curve(lower[1:]), look.deep, 0.9, 0.50, 0.4)
    canvas.line(curve([(x, y + 1.3) for x, y in lower[1:-1]]), look.glow, 1.0, 0.5, 0.5)
    _draw_lashes(canvas, eye, upper, pose, look)


def _draw_lashes(canvas: Canvas, eye: _Eye, upper: list[Point], pose: Pose, look: Appearance) -> None:
    """The dark edge of the upper lid, thicker outwards, ending in a small wing."""
    dark = mix(look.brows, "#140b0a", 0.7)
    thick = (0.5, 0.9, 1.6, 2.0, 2.3, 2.5, 0.6)
    above = [(x, y - t * (0.6 + 0.4 * look.lashes)) for (x, y), t in zip(upper, thick, strict=True)]
    wing = (upper[-1][0] + eye.side * 3.4 * look.lashes, upper[-1][1] - (2.6 - 4.0 * pose.blink) * look.lashes)
    band = outline(_sorted([*above, wing]), _sorted([(x, y + 0.5) for x, y in upper] + [wing]))
    canvas.path(band, dark, 0.94)


def _draw_brow(canvas: Canvas, eye: _Eye, pose: Pose, look: Appearance) -> None:
    lift, weight = pose.brow, look.brow_weight
    spine = [(-1.04, 24.9), (-0.6, 26.0), (0.0, 27.6), (0.5, 28.2), (0.9, 25.6), (1.3, 19.6)]
    thick = (2.8, 4.8, 4.6, 3.7, 2.5, 0.4)
    above, below = [], []
    for (along, height), t in zip(spine, thick, strict=True):
        x, y = eye.at(along, height / eye.scale)
        above.append((x, y - lift - 0.5 * t * weight))
        below.append((x, y - lift + 0.5 * t * weight))
    shape = outline(_sorted(above), _sorted(below))
    start, end = eye.at(-1.2, 20), eye.at(1.4, 20)
    paint = canvas.linear(
        start,
        end,
        [
            (0, look.brows, 0.12),
            (0.10, look.brows, 0.45),
            (0.26, look.brows, 0.85),
            (0.75, look.brows, 0.95),
            (1, look.brows, 0.85),
        ],
    )
    canvas.path(shape, paint, 0.92)
    for index in range(15):
        _brow_hair(canvas, eye, spine, thick, index, lift, look)


def _brow_hair(
    canvas: Canvas, eye: _Eye, spine: list[Point], thick: tuple[float, ...], index: int, lift: float, look: Appearance
) -> None:
    """One hair stroke: upright near the nose, lying outwards along the brow."""
    share = index / 15
    place = share * (len(spine) - 1)
    i, f = int(place), place - int(place)
    along = spine[i][0] * (1 - f) + spine[i + 1][0] * f
    height = spine[i][1] * (1 - f) + spine[i + 1][1] * f
    t = (thick[i] * (1 - f) + thick[i + 1] * f) * look.brow_weight
    x, y = eye.at(along, height / eye.scale)
    y -= lift
    reach = 2.0 + 4.0 * share * (1 - share * share)
    out, tip = eye.side * reach, y - (0.62 - 0.5 * share) * t
    data = f"M{x:.2f} {y + 0.42 * t:.2f}Q{x + 0.4 * out:.2f} {y - 0.3 * t:.2f} {x + out:.2f} {tip:.2f}"
    canvas.line(data, mix(look.brows, "#160d0b", 0.4), 0.8, 0.22 + 0.28 * min(1.0, 3 * share), 0.25)


def _sorted(points: list[Point]) -> list[Point]:
    """The points from left to right, as ``outline`` wants them."""
    return points if points[0][0] < points[-1][0] else list(reversed(points))
