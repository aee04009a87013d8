"""Short natural hair: a tapered cap of small curls with a crisp, soft hairline."""

from math import cos, pi, sin

import numpy as np

from inference.drawing.appearance import Appearance
from inference.drawing.locks import Tones
from inference.drawing.svg import Canvas, Point, curve, mirror, mix

CENTRE_X = 256.0
_OUTER: list[Point] = [(256, 45), (224, 49), (195, 63), (174, 90), (164, 128), (161, 170), (163, 214)]
_INNER: list[Point] = [(256, 114), (229, 115), (207, 119), (193, 128), (185, 143), (178, 164), (174, 188), (168, 216)]


def _halves(points: list[Point]) -> list[Point]:
    """Both halves, from the left ear over the top to the right ear."""
    return [*reversed(points)] + [(2 * CENTRE_X - x, y) for x, y in points[1:]]


def draw_crop_back(canvas: Canvas, look: Appearance) -> None:
    """The side of the head behind the ears, fading into the neck."""
    tones = Tones.of(look.hair)
    fade = [(0.0, tones.dark, 1.0), (0.6, tones.dark, 0.9), (1.0, mix(look.shadow, tones.dark, 0.4), 1.0)]
    left = [
        (256.0, 70.0),
        (200.0, 78.0),
        (172.0, 120.0),
        (166.0, 180.0),
        (172.0, 226.0),
        (190.0, 244.0),
        (256.0, 244.0),
    ]
    canvas.path(curve([*left, *mirror(left, CENTRE_X)[1:-1]], closed=True), canvas.linear((0, 80), (0, 236), fade))


def draw_crop_hair(canvas: Canvas, look: Appearance) -> None:
    """The cap before the forehead: shadow, mass, curls, hairline, rim light."""
    tones = Tones.of(look.hair)
    outer, inner = _halves(_OUTER), _halves(_INNER)
    canvas.line(curve([(x, y + 4) for x, y in inner[2:-2]]), look.deep, 7, 0.30, 4.0)
    shape = curve(outer) + "L" + curve(list(reversed(inner)))[1:] + "Z"
    _draw_mass(canvas, shape, look, tones)
    _draw_curls(canvas, tones)
    _draw_hairline(canvas, inner, look, tones)
    _draw_silhouette(canvas, outer, tones)


def _draw_mass(canvas: Canvas, shape: str, look: Appearance, tones: Tones) -> None:
    """The cap's body: skin shows through at the sides, where the hair is tapered."""
    skin = mix(look.skin, tones.dark, 0.6)
    fade = [
        (0.0, tones.dark, 1.0),
        (0.42, tones.dark, 1.0),
        (0.66, mix(tones.dark, skin, 0.3), 0.84),
        (0.84, skin, 0.40),
    ]
    canvas.path(shape, canvas.linear((0, 70), (0, 212), [*fade, (1.0, skin, 0.0)]))
    volume = [(0.0, mix(tones.base, tones.light, 0.8), 0.75), (0.5, mix(tones.base, tones.light, 0.3), 0.38)]
    canvas.path(shape, canvas.radial((220, 76), 96, [*volume, (1.0, tones.base, 0.0)], 0.62))


def _inside(x: float, y: float) -> bool:
    """Whether a point lies in the cap, by both contours' distance from the middle."""
    away = CENTRE_X - abs(x - CENTRE_X)
    outer_y = np.interp(away, [p[0] for p in reversed(_OUTER[:6])], [p[1] for p in reversed(_OUTER[:6])])
    inner_y = np.interp(away, [p[0] for p in reversed(_INNER)], [p[1] for p in reversed(_INNER)])
    return bool(outer_y + 1 < y < inner_y) and away > 162


def _lit(x: float, y: float) -> float:
    """Light on the dome of the head at a point, 0..1: the key comes from the upper left."""
    across, up = (x - CENTRE_X) / 112, (y - 124) / 82
    facing = max(0.05, 1 - across * across - up * up) ** 0.5
    return float(np.clip(-0.52 * across - 0.58 * up + 0.50 * facing - 0.12, 0.0, 1.0))


def _draw_curls(canvas: Canvas, tones: Tones) -> None:
    """A close weave of small curls, each lit on its upper left and dark below; curls of one light share a path."""
    rng = np.random.default_rng(23)
    lit: dict[int, list[str]] = {}
    dim: dict[int, list[str]] = {}
    for row in range(80):
        for column in range(110):
            x, y = 156 + 1.85 * (column + 0.5 * (row % 2)), 52 + 2.0 * row
            x, y = x + float(rng.normal(0, 0.5)), y + float(rng.normal(0, 0.5))
            if not _inside(x, y):
                continue
            taper = float(np.clip((206 - y) / 80, 0.0, 1.0))
            size, turn = float(rng.uniform(0.6, 1.1)), float(rng.normal(0, 0.5))
            light = _lit(x, y) * taper * float(rng.uniform(0.6, 1.1))
            lit.setdefault(round(8 * light), []).append(_arc(x, y, size, pi + turn))
            dim.setdefault(round(6 * taper), []).append(_arc(x + 0.7, y + 0.8, size, turn))
    for level, arcs in dim.items():
        canvas.line("".join(arcs), tones.deep, 0.75, 0.42 * level / 6)
    for level, arcs in lit.items():
        colour = mix(mix(tones.base, tones.light, 0.7), tones.gloss, 0.08 * level)
        canvas.line("".join(arcs), colour, 0.7, 0.10 + 0.085 * level)


def _arc(x: float, y: float, size: float, turn: float) -> str:
    """A quarter of a small circle around (x, y), in the middle of its turn at 45 degrees plus ``turn``."""
    ends = [(x + size * cos(turn + k), y + size * sin(turn + k)) for k in (-0.2, 0.8, 1.8)]
    (ax, ay), (bx, by), (cx, cy) = ends
    return f"M{ax:.1f} {ay:.1f}Q{bx:.1f} {by:.1f} {cx:.1f} {cy:.1f}"


def _draw_hairline(canvas: Canvas, inner: list[Point], look: Appearance, tones: Tones) -> None:
    """The hairline: crisp from afar, near by a soft edge of tiny upright hairs."""
    rng = np.random.default_rng(29)
    xs, ys = [p[0] for p in inner], [p[1] for p in inner]
    canvas.line(curve([(x, y - 0.5) for x, y in inner[3:-3]]), mix(look.deep, tones.dark, 0.6), 4.0, 0.46, 2.4)
    for end in (inner[1:4], inner[-4:-1]):
        fade = [(0.0, tones.dark, 0.0), (1.0, tones.dark, 0.34)]
        low, high = max(end, key=lambda p: p[1]), min(end, key=lambda p: p[1])
        canvas.line(curve(end), canvas.linear(low, high, fade), 3.4, 1.0, 1.8)
    strokes = []
    for _ in range(420):
        place = float(rng.uniform(2, len(inner) - 3))
        x, y = float(np.interp(place, range(len(xs)), xs)), float(np.interp(place, range(len(ys)), ys))
        rise, jut = float(rng.uniform(1.5, 4)), float(rng.normal(0.2, 0.8))
        lean = 0.6 * (x - CENTRE_X) / 90 * rise + float(rng.normal(0, 0.5))
        strokes.append(f"M{x + 0.4 * jut:.1f} {y + jut:.1f}l{lean:.1f} {-rise:.1f}")
    canvas.line("".join(strokes), tones.dark, 0.6, 0.36)


def _draw_silhouette(canvas: Canvas, outer: list[Point], tones: Tones) -> None:
    """A broken edge of curls, warm on the left and cool on the right."""
    rng = np.random.default_rng(31)
    xs, ys = [p[0] for p in outer], [p[1] for p in outer]
    arcs = []
    for _ in range(520):
        place = float(rng.uniform(3, len(outer) - 4))
        x, y = float(np.interp(place, range(len(xs)), xs)), float(np.interp(place, range(len(ys)), ys))
        x, y = x + float(rng.normal(0, 0.9)), y + float(rng.normal(0.4, 0.9))
        arcs.append(_arc(x, y, float(rng.uniform(0.6, 1.2)), float(rng.uniform(0, 2 * pi))))
    canvas.line("".join(arcs), tones.dark, 0.8, 0.6)
    rim = outer[7:-1]
    ends = [(0.0, tones.rim, 0.0), (0.4, tones.rim, 0.5), (1.0, tones.rim, 0.0)]
    canvas.line(curve([(x - 2.5, y + 2) for x, y in rim]), canvas.linear(rim[0], rim[-1], ends), 3.0, 0.8, 2.2)
