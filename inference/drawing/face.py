"""The face's skin: contour, relief, colour, and the light on it."""

from dataclasses import dataclass

import numpy as np

from inference.drawing.appearance import Appearance
from inference.drawing.light import KEY_COLOUR, Pixels, diffuse, display, linear, rim, shine
from inference.drawing.lips import cover_with_lips
from inference.drawing.mouth_shape import CENTRE_X, MouthOutline, MouthShape
from inference.drawing.relief import Bump, Field, Grid, hills, normals
from inference.drawing.svg import Canvas, Point, curve, mirror, mix

CHIN_Y = 350.0
NOSE_Y = 258.0
BEND_FROM, BEND_TO = 286.0, 334.0  # rows between which the face goes over from the skull to the jaw
ROUNDNESS = 90.0  # depth of the head's oval in pixels


def face_path(look: Appearance, jaw: float) -> str:
    """The contour of the face as a closed path; the chin is ``jaw`` pixels down, the jaw's corners follow."""
    right = _half_contour(look, jaw)
    points = right + mirror(right, CENTRE_X)[1:-1]
    return curve(points, closed=True)


def _half_contour(look: Appearance, jaw: float) -> list[Point]:
    """From the top of the head along the right side to the chin."""
    wide, jaw_wide, chin_wide = look.face_width, look.jaw_width * look.face_width, look.chin_width * look.face_width
    chin = CHIN_Y + look.chin
    rows = [
        (0.0, 92.0),
        (48.0 * wide, 100.0),
        (80.0 * wide, 134.0),
        (90.0 * wide, 172.0),
        (91.5 * wide, 206.0),
        (90.5 * wide + 0.8 * look.cheekbones, 234.0),
        (86.5 * (0.6 * wide + 0.4 * jaw_wide), 262.0),
        (78.0 * jaw_wide, 289.0 + 0.22 * jaw),
        (64.5 * jaw_wide, 312.0 + 0.5 * jaw + 0.4 * look.chin),
        (45.0 * (0.6 * jaw_wide + 0.4 * chin_wide), 332.0 + 0.85 * jaw + 0.8 * look.chin),
        (21.5 * (0.3 * jaw_wide + 0.7 * chin_wide), chin - 3.8 + jaw),
        (0.0, chin + jaw),
    ]
    return [(CENTRE_X + x, y) for x, y in rows]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the features of one face lie that several functions need."""

    nose: float
    eye_x: float
    eye_y: float
    cheek_x: float


def _place(look: Appearance) -> _Place:
    return _Place(
        NOSE_Y + look.nose_length,
        41.0 * look.face_width + look.eye_spread,
        207.0 + look.eye_height,
        55 * look.face_width,
    )


def paint_skin(grid: Grid, shape: MouthShape, mouth: MouthOutline, look: Appearance) -> Pixels:
    """The lit skin with the lips on it, [h, w, 3] in 0..255; the contour is cut by who calls."""
    bent = _bent(grid, mouth.jaw, look)
    towards = normals(_oval(bent, look) + hills(bent, _skull(look)) + hills(grid, _around_mouth(shape, mouth, look)))
    albedo = _albedo(bent, look)
    light = diffuse(towards, albedo, _openness(bent, grid, mouth, look))
    oil = hills(bent, _oil(look))[..., None]
    gleam = (0.044 + 0.45 * oil) * shine(towards, 14) + oil * shine(towards, 60)
    dark = 1 - float(linear(look.skin).mean())  # the same gleam shows more on dark skin, so take some back
    outer = np.clip(np.abs(grid.x - CENTRE_X) / (91 * look.face_width) - 0.70, 0.0, 0.30)[..., None] / 0.30
    light += gleam * KEY_COLOUR * (0.62 + 0.25 * dark) + rim(towards) * outer * (0.40 - 0.22 * dark)
    cover_with_lips(grid, mouth, look, light)
    return display(light)


def _bent(grid: Grid, jaw: float, look: Appearance) -> Grid:
    """The grid in the coordinates of a closed face: the jaw's part moves up again."""
    share = np.clip((grid.y - BEND_FROM) / (BEND_TO - BEND_FROM), 0.0, 1.0)
    lowered = (share * share * (3 - 2 * share)).astype(np.float32) * np.float32(jaw + look.chin)
    return Grid(grid.x, grid.y - lowered)


def _oval(grid: Grid, look: Appearance) -> Field:
    """The head's large form: round across, its forehead and chin turned away."""
    wide, jaw = look.face_width, look.face_width * look.jaw_width
    rows = [60.0, 100.0, 140.0, 180.0, 218.0, 254.0, 288.0, 312.0, 334.0, 352.0, 400.0]
    halves = [
        84 * wide,
        92 * wide,
        97 * wide,
        99 * wide,
        99 * wide,
        97 * wide,
        89 * jaw,
        80 * jaw,
        70 * jaw,
        62 * jaw,
        52,
    ]
    fine = np.arange(60, 401, 2)
    smooth = np.convolve(np.pad(np.interp(fine, rows, halves), 10, mode="edge"), np.hanning(21) / 10, mode="valid")
    half = np.interp(grid.y[:, 0], fine, smooth).astype(np.float32)[:, None]
    across = np.abs(grid.x - CENTRE_X) / half
    round_: Field = ROUNDNESS * np.sqrt(np.maximum(1 - across**2.05, 0.03))
    forehead, chin = np.maximum(168 - grid.y, 0), np.maximum(grid.y - 331, 0)
    away: Field = (round_ - 0.0042 * forehead**2 - 0.015 * chin**2).astype(np.float32)
    return away


def both(bump: Bump) -> list[Bump]:
    """A bump whose ``x`` counts from the middle, on both sides of the face."""
    return [
        Bump(CENTRE_X + side * bump.x, bump.y, bump.width, bump.tall, bump.height, side * bump.turn) for side in (1, -1)
    ]


def _skull(look: Appearance) -> list[Bump]:
    """Brow, sockets, cheekbones, nose, chin: what does not depend on the mouth."""
    at, wide = _place(look), look.nose_width
    y = at.nose
    bones = [
        Bump(27, 138, 26, 22, 2.6),  # frontal eminences
        Bump(34, 187 + look.eye_height, 24, 9, 4.2, -5),  # brow ridge
        Bump(80, 168, 15, 28, -7.0),  # temple
        Bump(at.eye_x - 1, at.eye_y + 1, 21, 13, -7.0),  # socket
        Bump(at.eye_x - 21, at.eye_y - 6, 7, 11, -5.0),  # its inner corner
        Bump(at.eye_x, at.eye_y, 15, 9.5, 6.0),  # eyeball under the lids
        Bump(at.cheek_x + 4, 239, 22, 13, 6.5 * look.cheekbones, -16),
        Bump(at.cheek_x - 13, 252, 18, 15, 3.4 + 0.22 * look.smile),  # apple of the cheek
        Bump(at.cheek_x + 8, 287, 12, 22, -2.0 * look.cheekbones, 16),  # hollow below
        Bump(64 * look.jaw_width, 306, 14, 12, 2.6 * look.jaw_width, 40),  # corner of the jaw
        Bump(14.8 * wide, y - 1.0, 5.6 * wide, 5.6, 6.6 * wide),  # wings
        Bump(9.8 * wide, y - 5.0, 2.6, 5.0, -0.5),  # groove between wing and tip
        Bump(22.5 * wide, y - 2, 5.0, 8, -1.9),  # crease of the wing
        Bump(7.6 * wide, y + 8.0, 4.6 * wide, 3.0, -2.6),  # nostrils
        Bump(5.4, y + 18, 2.0, 7.0, 0.5),  # pillars of the philtrum
    ]
    middle = [
        Bump(CENTRE_X, 189, 10, 9, 2.0),  # glabella
        Bump(CENTRE_X, 198, 11, 14, 3.2 * look.nose_bridge),
        Bump(CENTRE_X, 220, 11.0 * (0.5 + 0.5 * wide), 17, 7.6 * look.nose_bridge),
        Bump(CENTRE_X, y - 18, 11.0 * (0.4 + 0.6 * wide), 12, 7.0),
        Bump(CENTRE_X, y - 3.5, 9.2 * (0.3 + 0.7 * wide), 8.2, 11.5),  # tip
        Bump(CENTRE_X, y + 6.5, 5, 4.0, 2.4),  # columella
        Bump(CENTRE_X, y + 19, 3.0, 7.5, -1.0),  # philtrum
        Bump(CENTRE_X, 290, 34, 26, 7.0),  # the teeth's arch under the lips
        Bump(CENTRE_X, 337.5, 17 * look.chin_width, 9.5, 7.0),
    ]
    return middle + [bump for bone in bones for bump in both(bone)]


def _around_mouth(shape: MouthShape, mouth: MouthOutline, look: Appearance) -> list[Bump]:
    """What the lips push and pull, in the coordinates of the frame."""
    low = mouth.outer_lower[len(mouth.outer_lower) // 2][1]
    corner = mouth.half_width
    groove = Bump(CENTRE_X, low + 5.5, 17, 4.8, -4.0 - 1.5 * shape.lip_tuck)
    pout = Bump(CENTRE_X, mouth.centre_y + 0.4 * mouth.gap, 0.62 * corner, 12, 2.2 * shape.round)
    sides = [
        Bump(corner + 2.5, mouth.inner_upper[0][1] + 1, 4.6, 5.4, -1.8),
        Bump(corner + 14, 290 + 0.2 * mouth.jaw, 9, 17, 2.2 + 0.5 * look.age + 1.6 * shape.width, 14),
        Bump(corner * 0.62, low + 3, 8, 5, 1.2),
        Bump(58 * look.face_width, 292 + 0.3 * mouth.jaw, 11, 16, -1.6 * shape.open - 1.8 * shape.round, 14),
    ]
    return [groove, pout] + [bump for side in sides for bump in both(side)]


def _albedo(grid: Grid, look: Appearance) -> Pixels:
    """The skin's own colour in linear light, [h, w, 3]: redder where blood is near, cooler around the jaw."""
    at = _place(look)
    skin, blush = linear(look.skin), linear(look.blush)
    golden, cool = linear(mix(look.skin, "#f2cf9a", 0.16)), linear(mix(look.skin, "#7d7480", 0.10))
    rouge = 0.10 + 0.30 * look.blusher
    cheeks = [
        Bump(CENTRE_X - at.cheek_x - 3, 250, 24, 14, rouge, 22),
        Bump(CENTRE_X + at.cheek_x + 3, 250, 24, 14, 0.6 * rouge, -22),  # the other cheek lies in the shade
    ]
    red = hills(
        grid,
        [
            *cheeks,
            Bump(CENTRE_X, at.nose - 3, 13 * look.nose_width, 9, 0.40),
            *both(Bump(15 * look.nose_width, at.nose - 1, 6, 7, 0.20)),
            *both(Bump(at.eye_x, at.eye_y - 9, 18, 6, 0.22)),
            *both(Bump(at.eye_x - 24, at.eye_y + 3, 7, 8, 0.22)),
            Bump(CENTRE_X, 338, 17, 9, 0.22),
            Bump(CENTRE_X, 300, 40, 18, 0.14),
        ],
    )[..., None]
    yellow = hills(grid, [Bump(CENTRE_X, 148, 56, 26, 0.8)])[..., None]
    grey = hills(grid, [*both(Bump(62, 318, 26, 18, 0.5)), *both(Bump(at.eye_x, at.eye_y + 13, 17, 5, 0.4))])[..., None]
    colour = skin + np.clip(yellow, 0, 1) * (golden - skin) + np.clip(grey, 0, 1) * (cool - skin)
    fair = 0.35 + 0.65 * min(1.0, float(skin.mean()) / 0.5)  # blood shows less through dark skin
    mixed: Pixels = (colour + np.clip(fair * red, 0, 0.9) * (blush - colour)).astype(np.float32)
    return mixed


def _openness(bent: Grid, grid: Grid, mouth: MouthOutline, look: Appearance) -> Pixels:
    """How much light reaches the skin, [h, w, 1]: less in hollows and in the nose's shadow."""
    at, wide = _place(look), look.nose_width
    y, low = at.nose, mouth.outer_lower[len(mouth.outer_lower) // 2][1]
    hidden = hills(
        bent,
        [
            *both(Bump(at.eye_x - 22, at.eye_y - 5, 7, 10, 0.34)),
            *both(Bump(at.eye_x + 2, at.eye_y - 14, 18, 4.2, 0.26, -6)),
            Bump(CENTRE_X + 2, y + 9.5, 13 * wide, 4.2, 0.30),
            Bump(CENTRE_X + 12 * wide, y + 13, 9 * wide, 6.0, 0.22, -24),  # cast to the right
            *both(Bump(21.0 * wide, y, 3.2, 5, 0.18)),
            Bump(CENTRE_X + 14, 222, 6, 20, 0.07, -5),
            *both(Bump(70 * look.jaw_width, 322, 16, 20, 0.26, 38)),
        ],
    ) + hills(
        grid,
        [
            Bump(CENTRE_X + 2, low + 3.4, 0.44 * mouth.half_width, 3.6, 0.46),
            *both(Bump(mouth.half_width + 1.5, mouth.inner_upper[0][1] + 1.0, 3.2, 3.0, 0.20)),
        ],
    )
    light: Pixels = np.clip(1 - hidden, 0.25, 1.0)[..., None].astype(np.float32)
    return light


def _oil(look: Appearance) -> list[Bump]:
    """Where the skin gleams: forehead, bridge and tip of the nose, cheekbones, chin."""
    at = _place(look)
    return [
        Bump(CENTRE_X - 10, 146, 34, 18, 0.10),
        Bump(CENTRE_X - 1, 222, 8, 22, 0.06),
        Bump(CENTRE_X - 2, at.nose - 7, 8, 7, 0.26),
        *both(Bump(at.cheek_x + 4, 234, 15, 8, 0.13, -16)),
        Bump(CENTRE_X - 3, 336, 13, 7, 0.10),
        *both(Bump(at.eye_x + 4, 193 + look.eye_height, 14, 4, 0.10, -6)),
    ]


def draw_nostrils(canvas: Canvas, look: Appearance) -> None:
    """What of the nose is a line and not a form: nostrils, the wings' creases and the tip's lower edge."""
    y, wide, x = NOSE_Y + look.nose_length, look.nose_width, CENTRE_X
    dark = mix(look.deep, "#1a0808", 0.35)
    for sign in (-1, 1):
        wing = [
            (x + sign * 15.6 * wide, y - 9.5),
            (x + sign * 19.6 * wide, y - 3.5),
            (x + sign * 18.6 * wide, y + 3.0),
            (x + sign * 13.6 * wide, y + 5.6),
        ]
        canvas.line(curve(wing[1:]), look.deep, 1.5, 0.34, 1.2)
        canvas.line(curve(wing[:3]), look.shadow, 1.6, 0.22, 1.6)
        nostril = [
            (x + sign * 4.0 * wide, y + 6.3),
            (x + sign * 7.6 * wide, y + 3.4),
            (x + sign * 12.2 * wide, y + 4.4),
            (x + sign * 9.4 * wide, y + 6.8),
        ]
        canvas.line(curve(nostril, closed=True), dark, 1.4, 0.25, 0.9)
        canvas.path(curve(nostril, closed=True), dark, 0.86)
    tip = [(x - 6.0 * wide, y + 6.6), (x, y + 9.0), (x + 6.0 * wide, y + 6.6)]
    canvas.line(curve(tip), look.deep, 1.3, 0.30, 1.0)


def draw_folds(canvas: Canvas, shape: MouthShape, mouth: MouthOutline, look: Appearance) -> None:
    """The soft folds from the nose's wings past the corners of the mouth."""
    for side in (-1, 1):
        x, y = CENTRE_X + side * mouth.half_width, mouth.inner_upper[0][1]
        fold = [
            (CENTRE_X + side * 25 * look.nose_width, 263.0),
            (CENTRE_X + side * (33 + 3 * look.nose_width), 275.0),
            (x + side * 10.5, y - 7),
            (x + side * 11.5, y + 3),
        ]
        canvas.line(
            curve(fold),
            mix(look.shadow, look.deep, look.age),
            2.4,
            0.06 + 0.26 * look.age + 0.16 * shape.width + 0.08 * shape.open,
            2.2,
        )
