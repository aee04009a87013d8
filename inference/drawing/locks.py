"""Locks of hair: tapered ribbons along curves that flow between guides, with strands and a band of light."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, hypot, pi, sin

import numpy as np

from inference.drawing.svg import Canvas, Point, curve, mix, outline, rgb

STEPS = 19  # points along a lock
FINE = 12.0  # a lock narrower than this, in pixels, is an accent on wider ones


@dataclass(frozen=True, slots=True)
class Tones:
    """Colours of one head of hair, from the depth between locks to the band of light."""

    deep: str
    dark: str
    base: str
    light: str
    gloss: str
    rim: str  # the cool light from the right

    @staticmethod
    def of(hair: str) -> "Tones":
        """The tones of a hair colour ``#rrggbb``."""
        bright = sum(rgb(hair)) / 765  # fair hair lets light through: its depths are less dark
        return Tones(
            deep=mix(hair, "#0b0506", 0.78 - 0.36 * bright),
            dark=mix(hair, "#120809", 0.47 - 0.26 * bright),
            base=hair,
            light=mix(mix(hair, "#b36c3e", 0.46), "#ffd9a8", 0.06),
            gloss=mix(mix(hair, "#e2a166", 0.58), "#fff0d8", 0.22),
            rim=mix(mix(hair, "#9fc0e6", 0.5), "#e6f1ff", 0.15),
        )


@dataclass(frozen=True, slots=True)
class Sheet:
    """Hair that flows between guide curves with equal numbers of points, root to tip.

    The first guide is nearest to the face. ``shine`` is the place of the band of light along the hair in 0..1, ``lit``
    how much of the warm light the sheet gets, ``wave`` the height of its waves in pixels.
    """

    guides: Sequence[Sequence[Point]]
    shine: float = 0.22
    lit: float = 1.0
    wave: float = 0.0
    turns: float = 1.6  # waves from root to tip

    def along(self, share: float) -> list[Point]:
        """The curve ``share`` (0..1) of the way from the first guide to the last, ``STEPS`` points."""
        place = min(max(share, 0.0), 1.0) * (len(self.guides) - 1)
        index = min(int(place), len(self.guides) - 2)
        part = place - index
        pairs = zip(self.guides[index], self.guides[index + 1], strict=True)
        return resample(_smooth([(a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part) for a, b in pairs]))


def _smooth(points: Sequence[Point]) -> list[Point]:
    """Five points a segment on the Catmull-Rom spline through the points."""
    p = np.array([points[0], *points, points[-1]])  # [n + 2, 2]
    before, start, end, after = p[:-3, None], p[1:-2, None], p[2:-1, None], p[3:, None]  # [n - 1, 1, 2]
    t = np.arange(5)[None, :, None] / 5  # [1, 5, 1]
    slope, far = (end - before) / 2, (after - start) / 2
    h = start + slope * t + (3 * (end - start) - 2 * slope - far) * t**2 + (2 * (start - end) + slope + far) * t**3
    return [*((float(x), float(y)) for x, y in h.reshape(-1, 2)), points[-1]]


def resample(points: Sequence[Point], steps: int = STEPS) -> list[Point]:
    """``steps`` points at equal distances along the polyline."""
    lengths = [0.0]
    for (ax, ay), (bx, by) in pairwise(points):
        lengths.append(lengths[-1] + hypot(bx - ax, by - ay))
    at = np.linspace(0.0, lengths[-1], steps)
    xs = np.interp(at, lengths, [x for x, _ in points])
    ys = np.interp(at, lengths, [y for _, y in points])
    return [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]


def shifted(points: Sequence[Point], offsets: Sequence[float]) -> list[Point]:
    """Each point moved by its offset across the curve, to the left when looking from root to tip."""
    moved = []
    for i, (x, y) in enumerate(points):
        (ax, ay), (bx, by) = points[max(i - 1, 0)], points[min(i + 1, len(points) - 1)]
        length = hypot(bx - ax, by - ay) or 1.0
        moved.append((x + (by - ay) / length * offsets[i], y - (bx - ax) / length * offsets[i]))
    return moved


def waved(points: Sequence[Point], height: float, turns: float, phase: float, sway: float = 0.0) -> list[Point]:
    """The curve with waves that grow from root to tip, its tip swayed to the right by ``sway`` pixels."""
    last = len(points) - 1
    offsets = [
        height * max(0.0, (i / last - 0.25) / 0.55) * sin(2 * pi * (turns * i / last + phase)) for i in range(last + 1)
    ]
    return [(x + sway * (i / last) ** 2, y) for i, (x, y) in enumerate(shifted(points, offsets))]


def ribbon(points: Sequence[Point], width: float, root: float = 0.55, tip: float = 0.03) -> str:
    """The outline of a lock along the curve: ``root`` and ``tip`` are shares of the full width at its ends."""
    last = len(points) - 1
    half = [0.5 * width * _taper(i / last, root, tip) for i in range(last + 1)]
    return outline(shifted(points, half), shifted(points, [-h for h in half]))


def _taper(t: float, root: float, tip: float) -> float:
    """Width of a lock at ``t``: grows from the root, full in the middle, runs out to the tip."""
    if t < 0.55:
        return root + (1 - root) * sin(0.5 * pi * t / 0.55)
    return tip + (1 - tip) * float(1 - ((t - 0.55) / 0.45) ** 1.8)


def draw_lock(
    canvas: Canvas, points: Sequence[Point], width: float, tones: Tones, light: float, shine: float, seed: int
) -> None:
    """One lock: its shadow on what lies below, its body, its lit and shaded edges, strands and its share of the gloss.

    ``light`` in 0..1 is how much warm light falls on it, ``shine`` the place of the gloss along it.
    """
    rng = np.random.default_rng([seed, 5])
    if width >= FINE:
        canvas.line(curve([(x + 1.5, y + 2.5) for x, y in points[3:-4]]), tones.deep, width * 0.66, 0.30, 1.8)
    canvas.path(ribbon(points, width), _body(canvas, points, tones, light, shine, fades=width < FINE))
    last = len(points) - 1
    for index in range(max(3, round(width / 2.2))):
        across = float(rng.uniform(-0.42, 0.42))
        offsets = [across * width * _taper(i / last, 0.55, 0.15) for i in range(last + 1)]
        start, end = int(rng.integers(0, 4)), last + 1 - int(rng.integers(1, 6))
        strand = shifted(points, offsets)[start:end]
        dark = across > 0.1 if index % 3 else across < 0
        colour = tones.deep if dark else tones.light
        opacity = 0.30 if dark else 0.10 + 0.28 * light
        canvas.line(curve(strand), _faded(canvas, strand, colour, opacity), float(rng.uniform(0.7, 1.5)))
    _draw_gloss(canvas, points, width, tones, light, shine, rng)


def _body(
    canvas: Canvas, points: Sequence[Point], tones: Tones, light: float, shine: float, fades: bool = False
) -> str:
    """The gradient of a lock from root to tip: dark root, band of light, and light where a wave turns to the left.

    A lock that fades melts into those below it at both ends.
    """
    last = len(points) - 1
    (rx, ry), (tx, ty) = points[0], points[-1]
    square = (tx - rx) ** 2 + (ty - ry) ** 2 or 1.0
    (mx, my) = points[round(0.3 * last)]
    chord = (tx - mx) / (hypot(tx - mx, ty - my) or 1.0)
    stops, before = [], -0.001
    for i, (x, y) in enumerate(points):
        t = i / last
        at = min(1.0, max(before + 0.001, ((x - rx) * (tx - rx) + (y - ry) * (ty - ry)) / square))
        before = at
        band = exp(-(((t - shine) / 0.085) ** 2))
        (ax, ay), (bx, by) = points[max(i - 1, 0)], points[min(i + 1, last)]
        turn = (
            chord - (bx - ax) / (hypot(bx - ax, by - ay) or 1.0) if t > 0.3 else 0.0
        )  # leaning left: turned to the light
        level = 0.16 + 0.30 * min(1.0, t / 0.12) + 0.9 * light * band + 1.5 * turn * light + 0.16 * light + 0.10 * t
        level -= 0.10 * exp(-(((t - shine - 0.22) / 0.12) ** 2))
        stops.append((at, _level(tones, level), min(1.0, (1 - t) / 0.45, t / 0.1) if fades else 1.0))
    return canvas.linear(points[0], points[-1], stops)


def _level(tones: Tones, level: float) -> str:
    """The tone of a brightness: 0 is deep, 0.25 dark, 0.5 base, 0.85 light, 1.2 gloss."""
    steps = ((0.0, tones.deep), (0.25, tones.dark), (0.5, tones.base), (0.85, tones.light), (1.2, tones.gloss))
    for (low, first), (high, second) in pairwise(steps):
        if level < high:
            return mix(first, second, max(0.0, (level - low) / (high - low)))
    return tones.gloss


def _faded(canvas: Canvas, points: Sequence[Point], colour: str, opacity: float) -> str:
    """A paint along a strand that fades at both ends."""
    ends = [(0.0, colour, 0.0), (0.25, colour, opacity), (0.75, colour, opacity), (1.0, colour, 0.0)]
    return canvas.linear(points[0], points[-1], ends)


def _draw_gloss(
    canvas: Canvas,
    points: Sequence[Point],
    width: float,
    tones: Tones,
    light: float,
    shine: float,
    rng: np.random.Generator,
) -> None:
    """Short bright strokes along the lock where the light's band crosses it."""
    fine = resample(points, 60)
    for _ in range(max(2, round(width / 3.0))):
        middle = 60 * shine + float(rng.normal(0.0, 1.6))
        reach = float(rng.uniform(3.0, 7.0))
        start, end = int(np.clip(middle - reach, 0, 54)), int(np.clip(middle + reach, 5, 60))
        across = float(rng.uniform(-0.36, 0.36)) * width
        stroke = shifted(fine, [across * 0.9] * 60)[start:end]
        peak = (0.16 + 0.46 * light) * float(rng.uniform(0.5, 1.0))
        paint = canvas.linear(
            stroke[0], stroke[-1], [(0.0, tones.gloss, 0.0), (0.5, tones.gloss, peak), (1.0, tones.gloss, 0.0)]
        )
        canvas.line(curve(stroke[:: max(1, len(stroke) // 4)] + stroke[-1:]), paint, float(rng.uniform(0.9, 2.2)))


def draw_strand(canvas: Canvas, points: Sequence[Point], colour: str, width: float, opacity: float) -> None:
    """One loose hair that fades towards its tip."""
    paint = canvas.linear(points[0], points[-1], [(0.0, colour, opacity), (0.6, colour, opacity), (1.0, colour, 0.0)])
    canvas.line(curve(points), paint, width)
