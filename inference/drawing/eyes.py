"""Eyes: ball with iris and catch-lights under the lid's shadow, lids that blink, lashes."""

from dataclasses import dataclass
from math import cos, pi, sin

from inference.drawing.appearance import Appearance
from inference.drawing.brows import draw_brow
from inference.drawing.light import tone
from inference.drawing.svg import Canvas, Point, curve, mix, outline

CENTRE_X = 256.0
EYE_X = 41.0  # from the middle of the face
EYE_Y = 207.0
HALF_WIDTH = 26.5
UPPER = 13.3  # height of the open upper lid above the corners' line
LOWER = 6.2
IRIS = 13.8
FIBRES = 34
# Place along the upper lid from the inner corner, 0..1, and length in pixels.
CLUMPS = (
    (0.30, 2.0),
    (0.39, 2.5),
    (0.48, 3.0),
    (0.56, 3.6),
    (0.64, 4.2),
    (0.71, 4.8),
    (0.78, 5.4),
    (0.845, 6.0),
    (0.905, 6.2),
    (0.96, 5.6),
)


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
    sway: float = 0.0  # tips of the hair to the right


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye's place; ``side`` is -1 on the picture's left."""

    side: int
    x: float
    y: float
    scale: float
    slant: float

    @staticmethod
    def of(side: int, look: Appearance) -> "Eye":
        """The eye of a face on that side."""
        x = CENTRE_X + side * (EYE_X * look.face_width + look.eye_spread)
        return Eye(side, x, EYE_Y + look.eye_height, look.eye_size, look.eye_slant)

    def at(self, along: float, height: float) -> Point:
        """A point ``along`` (-1 inner corner, 1 outer corner) and ``height`` pixels above the corners' line."""
        return self.x + self.side * along * HALF_WIDTH * self.scale, self.y - self.slant * along - height * self.scale


_LID = ((-1.0, -0.22), (-0.84, 0.30), (-0.48, 0.82), (-0.02, 1.0), (0.44, 0.88), (0.80, 0.48), (1.0, 0.04))
_LOWER_LID = ((-1.0, -0.22), (-0.80, 0.24), (-0.35, 0.80), (0.2, 1.0), (0.62, 0.80), (0.88, 0.36), (1.0, 0.0))


def draw_eyes(canvas: Canvas, pose: Pose, look: Appearance) -> None:
    """Both eyes and brows."""
    for side in (-1, 1):
        eye = Eye.of(side, look)
        _draw_shadow(canvas, eye, pose, look)
        _draw_ball(canvas, eye, pose, look)
        _draw_lids(canvas, eye, pose, look)
        draw_brow(canvas, eye.at, side, pose.brow, look)


def _upper_lid(eye: Eye, blink: float) -> list[Point]:
    """The upper lid's edge; closing brings it down to the lower lid."""
    points = []
    for along, height in _LID:
        shut = -LOWER * 0.80 * max(0.0, 1 - along * along) ** 0.7 - 0.22 * UPPER * max(0.0, -along - 0.9)
        points.append(eye.at(along, (1 - blink) * UPPER * height + blink * shut))
    return points


def _lower_lid(eye: Eye) -> list[Point]:
    return [eye.at(along, -LOWER * height) for along, height in _LOWER_LID]


def _draw_shadow(canvas: Canvas, eye: Eye, pose: Pose, look: Appearance) -> None:
    """The lid's own colour between lashes and crease, and the shade around the eye."""
    tint = mix(look.shadow, "#5d2c33", 0.30)
    open_ = 1 - 0.5 * pose.blink
    canvas.ellipse(eye.at(0.18, 15.0), (21, 5.0), tint, (0.16 + 0.20 * look.lashes) * open_, 3.4, turn=-5 * eye.side)
    canvas.ellipse(eye.at(0.72, 7.0), (8, 6.5), tint, 0.10 + 0.16 * look.lashes, 4, turn=-30 * eye.side)
    canvas.ellipse(eye.at(0.1, -9.6), (18, 2.6), tint, 0.16 + 0.08 * look.lashes, 2.0)
    canvas.ellipse(eye.at(0.1, -13.5), (15, 2.6), look.glow, 0.20, 2.2)
    canvas.ellipse(eye.at(0.15, 22.5), (15, 2.6), look.glow, 0.24 if eye.side < 0 else 0.14, 2.4, turn=-7 * eye.side)


def _draw_ball(canvas: Canvas, eye: Eye, pose: Pose, look: Appearance) -> None:
    if pose.blink > 0.97:
        return
    opening = outline(_sorted(_upper_lid(eye, pose.blink)), _sorted(_lower_lid(eye)))
    clip = canvas.clip(opening)
    white = canvas.radial(
        (eye.x - 3.5, eye.y - 1),
        27,
        [
            (0, mix("#fbf5ef", look.shadow, 0.05), 1),
            (0.42, mix("#f3e9e2", look.shadow, 0.10), 1),
            (0.75, mix("#d9c6bd", look.shadow, 0.14), 1),
            (1, mix("#a58a82", look.shadow, 0.2), 1),
        ],
        0.80,
    )
    canvas.path(opening, white)
    canvas.ellipse(eye.at(-0.92, -1.4), (4.0, 3.0), "#d78b80", 0.85, 0.9, clip)
    canvas.ellipse(eye.at(-0.95, -1.0), (1.0, 0.8), "#fbe3dc", 0.4, 0.5, clip)
    centre = (eye.x - eye.side * 0.4 + pose.gaze_x, eye.y - 3.5 * eye.scale + pose.gaze_y)
    _draw_iris(canvas, centre, IRIS * eye.scale, look, clip)
    # The upper lid and its lashes shade the ball.
    shade = canvas.linear(
        (0, eye.y - UPPER * eye.scale - 1),
        (0, eye.y + 3),
        [
            (0, "#1c0d0d", 0.78),
            (0.18, "#2a1615", 0.48),
            (0.42, "#3a211d", 0.20),
            (0.7, "#3a211d", 0.05),
            (1, "#3a211d", 0.0),
        ],
    )
    canvas.path(opening, shade)
    _draw_catch_lights(canvas, centre, IRIS * eye.scale, clip)
    wet = [(x, y - 0.9) for x, y in _lower_lid(eye)[1:-1]]
    canvas.line(curve(wet), "#ffffff", 0.8, 0.42, 0.3, clip)


def _draw_iris(canvas: Canvas, centre: Point, radius: float, look: Appearance, clip: str) -> None:
    """Limbal ring, two layers of fibres, collarette, the light that gathers opposite to the window, pupil."""
    x, y = centre
    rim, bright = mix(look.iris, "#0d0808", 0.80), mix(look.iris, "#fff3cf", 0.40)
    canvas.ellipse(centre, (radius * 0.99, radius * 0.99), rim, 0.9, 0.9, clip)
    base = canvas.radial(
        (x, y + 0.10 * radius),
        radius,
        [
            (0, mix(look.iris, "#c98b3e", 0.34), 1),
            (0.45, mix(look.iris, "#d9b060", 0.24), 1),
            (0.70, mix(look.iris, bright, 0.12), 1),
            (0.88, mix(look.iris, rim, 0.42), 1),
            (1, rim, 1),
        ],
    )
    canvas.ellipse(centre, (radius * 0.96, radius * 0.96), base, clip=clip)
    glow = canvas.radial(
        (x + 0.22 * radius, y + 0.52 * radius),
        0.66 * radius,
        [(0, bright, 0.85), (0.5, bright, 0.42), (1, bright, 0.0)],
        0.72,
    )
    canvas.ellipse(centre, (radius * 0.90, radius * 0.90), glow, clip=clip)
    for index in range(FIBRES):
        _draw_fibre(canvas, centre, radius, index, look, clip)
    canvas.ellipse(centre, (radius * 0.43, radius * 0.43), mix(look.iris, "#1a0f0a", 0.72), 0.75, 1.0, clip)
    canvas.ellipse(centre, (radius * 0.36, radius * 0.36), "#0a0708", 0.98, 0.35, clip)


def _draw_fibre(canvas: Canvas, centre: Point, radius: float, index: int, look: Appearance, clip: str) -> None:
    """One fibre of the iris; lengths vary in a fixed pattern."""
    angle = 2 * pi * (index + 0.35 * ((index * 7) % 5) / 5) / FIBRES
    inner, outer = 0.45 + 0.05 * ((index * 3) % 4) / 3, 0.68 + 0.20 * ((index * 5) % 7) / 7
    (x, y), (c, s) = centre, (cos(angle), sin(angle))
    near, far = radius * inner, radius * outer
    data = f"M{x + c * near:.2f} {y + s * near:.2f}L{x + c * far:.2f} {y + s * far:.2f}"
    light = index % 3 != 0
    colour = mix(look.iris, "#fff4d2", 0.50) if light else mix(look.iris, "#140c0a", 0.6)
    canvas.line(data, colour, 0.55, (0.30 + 0.22 * max(0.0, s)) if light else 0.40, clip=clip)


def _draw_catch_lights(canvas: Canvas, centre: Point, radius: float, clip: str) -> None:
    """The window's reflection above on the left, the rim lamp's small one below on the right."""
    x, y = centre[0] - 0.30 * radius, centre[1] - 0.30 * radius
    canvas.ellipse((x, y), (0.21 * radius, 0.19 * radius), "#ffffff", 0.98, 0.28, clip, turn=-18)
    canvas.ellipse((x, y), (0.34 * radius, 0.30 * radius), "#ffffff", 0.16, 1.2, clip)
    canvas.ellipse(
        (centre[0] + 0.46 * radius, centre[1] + 0.40 * radius),
        (0.12 * radius, 0.09 * radius),
        "#ffffff",
        0.65,
        0.4,
        clip,
    )


def _draw_lids(canvas: Canvas, eye: Eye, pose: Pose, look: Appearance) -> None:
    upper, lower = _upper_lid(eye, pose.blink), _lower_lid(eye)
    crease = [eye.at(along, UPPER * height + 4.6 - 1.2 * abs(along)) for along, height in _LID[1:]]
    if pose.blink > 0.02:
        _draw_closing_lid(canvas, eye, upper, pose, look)
    crease_light = 1 - 0.6 * pose.blink
    canvas.line(curve(crease), mix(look.deep, look.shadow, 0.3), 2.6, 0.26 * crease_light, 1.1)
    canvas.line(curve(crease[:-1]), look.deep, 1.2, 0.62 * crease_light, 0.4)
    lid_light = [eye.at(along, UPPER * height + 2.4) for along, height in _LID[2:5]]
    canvas.line(curve(lid_light), look.glow, 1.5, 0.34 * (1 - pose.blink), 0.9)
    canvas.line(curve(lower[1:]), mix(look.deep, "#3a1414", 0.3), 1.0, 0.48, 0.4)
    canvas.line(curve([(x, y + 1.5) for x, y in lower[1:-1]]), mix(look.glow, look.blush, 0.35), 1.3, 0.42, 0.6)
    _draw_lashes(canvas, eye, upper, lower, pose, look)


def _draw_closing_lid(canvas: Canvas, eye: Eye, upper: list[Point], pose: Pose, look: Appearance) -> None:
    """The lid's skin over the ball, from the open lid's edge down to where the edge is."""
    lid = outline(_sorted([(x, y - 1.4) for x, y in _upper_lid(eye, 0.0)]), _sorted(upper))
    side = 0.10 * eye.side
    warm = mix(look.skin, look.blush, 0.10 + 0.12 * look.blusher)
    paint = canvas.linear(
        (0, eye.y - UPPER),
        (0, eye.y + LOWER),
        [
            (0, tone(warm, side, -0.05, 0.80), 0.1),  # above, the relief's own skin shows
            (0.32, tone(warm, side, -0.20, 0.92), 0.55),
            (0.7, tone(warm, side, 0.10, 0.95), 0.85),
            (1, tone(warm, side, 0.50, 0.88), 1),
        ],
    )
    canvas.path(lid, paint, min(1.0, pose.blink * 6))
    canvas.ellipse(eye.at(-0.05, 1.0), (11, 3.2), look.glow, 0.30 * pose.blink, 2.2)


def _draw_lashes(
    canvas: Canvas, eye: Eye, upper: list[Point], lower: list[Point], pose: Pose, look: Appearance
) -> None:
    """The dark edge of the upper lid, thicker outwards, with lashes in clumps; a few fine ones below."""
    dark = mix(look.brows, "#120908", 0.75)
    weight = 0.45 + 0.55 * look.lashes
    edge, thick = upper[1:], (0.2, 1.6, 2.1, 2.5, 2.6, 0.5)
    above = [(x, y - t * weight) for (x, y), t in zip(edge, thick, strict=True)]
    wing = (upper[-1][0] + eye.side * 4.2 * look.lashes, upper[-1][1] - (2.6 - 4.6 * pose.blink) * look.lashes)
    band = outline(_sorted([*above, wing]), _sorted([(x, y + 0.5) for x, y in edge] + [wing]))
    canvas.path(band, dark, 0.95)
    canvas.line(curve(upper[:3]), mix(dark, look.shadow, 0.55), 1.0, 0.34, 0.5)
    for share, length in CLUMPS:
        _draw_clump(canvas, eye, _between(upper, share), share, length * look.lashes, pose.blink, dark)
    for share in (0.60, 0.70, 0.79, 0.87):
        x, y = _between(lower, share)
        reach = 1.9 * look.lashes
        canvas.line(
            f"M{x:.2f} {y:.2f}l{eye.side * share * reach:.2f} {0.8 * reach:.2f}", dark, 0.55, 0.30 * look.lashes
        )


def _draw_clump(canvas: Canvas, eye: Eye, root: Point, share: float, length: float, blink: float, dark: str) -> None:
    """Some lashes grown together: a thin curved wedge that sweeps outwards and up, down when the eye is shut."""
    if length < 1.2:
        return
    (x, y), out = root, eye.side * length * (1.75 * share - 0.45)
    rise = length * (0.86 - 0.40 * share) * (1 - 1.75 * blink)
    tip = (x + out, y - 1.2 - rise)
    bend = (x + 0.62 * out, y - 0.8 - 0.30 * rise)
    half = 1.15
    data = (
        f"M{x - half:.2f} {y - 0.6:.2f}Q{bend[0]:.2f} {bend[1]:.2f} {tip[0]:.2f} {tip[1]:.2f}"
        f"Q{bend[0] + 0.7 * eye.side:.2f} {bend[1] + 0.9:.2f} {x + half:.2f} {y - 0.6:.2f}Z"
    )
    canvas.path(data, dark, 0.90)


def _between(points: list[Point], share: float) -> Point:
    """The point at ``share`` of the way along a line of points."""
    place = share * (len(points) - 1)
    i = min(int(place), len(points) - 2)
    (ax, ay), (bx, by), f = points[i], points[i + 1], place - i
    return ax + (bx - ax) * f, ay + (by - ay) * f


def _sorted(points: list[Point]) -> list[Point]:
    """The points from left to right, as ``outline`` wants them."""
    return points if points[0][0] < points[-1][0] else list(reversed(points))
