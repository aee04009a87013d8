"""Hair behind and in front of the face: locks between two matched curves, filled, then drawn with strands."""

from collections.abc import Sequence
from dataclasses import dataclass

from inference.drawing.appearance import Appearance
from inference.drawing.svg import Canvas, Point, curve, mirror, mix

CENTRE_X = 256.0


@dataclass(frozen=True, slots=True)
class _Lock:
    """A sheet of hair between two curves with the same number of points, root to tip."""

    inner: Sequence[Point]
    outer: Sequence[Point]
    strands: int

    def between(self, share: float) -> list[Point]:
        """The curve ``share`` of the way from inner to outer."""
        return [
            (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share)
            for a, b in zip(self.inner, self.outer, strict=True)
        ]

    def path(self) -> str:
        """The sheet's outline."""
        return curve(self.inner) + "L" + curve(list(reversed(self.outer)))[1:] + "Z"

    def mirrored(self) -> "_Lock":
        """The same lock on the other side."""
        return _Lock(
            list(reversed(mirror(self.inner, CENTRE_X))), list(reversed(mirror(self.outer, CENTRE_X))), self.strands
        )


_ROOT = (236.0, 105.0)

_LONG_LEFT = _Lock(
    [_ROOT, (213, 121), (188, 149), (173, 188), (167, 228), (158, 268), (149, 310), (155, 352), (150, 396), (162, 442)],
    [
        (241, 39),
        (188, 52),
        (150, 82),
        (131, 138),
        (125, 204),
        (111, 262),
        (107, 318),
        (92, 372),
        (100, 422),
        (146, 456),
    ],
    30,
)
_LONG_RIGHT = _Lock(
    [_ROOT, (276, 111), (315, 133), (339, 176), (346, 226), (355, 268), (364, 312), (357, 352), (363, 396), (350, 442)],
    [
        (241, 39),
        (306, 46),
        (359, 78),
        (382, 138),
        (388, 204),
        (401, 262),
        (405, 318),
        (420, 372),
        (412, 422),
        (366, 456),
    ],
    30,
)
_BOB_LEFT = _Lock(
    [_ROOT, (214, 112), (184, 146), (170, 190), (165, 232), (162, 270), (164, 306), (178, 330)],
    [(241, 39), (188, 52), (152, 90), (132, 146), (124, 208), (120, 262), (124, 314), (150, 346)],
    24,
)
_BOB_RIGHT = _Lock(
    [_ROOT, (282, 102), (322, 130), (341, 176), (347, 226), (350, 268), (348, 306), (334, 330)],
    [(241, 39), (306, 46), (360, 88), (382, 146), (390, 208), (394, 262), (390, 314), (362, 346)],
    24,
)
_SHORT_LEFT = _Lock(
    [(236, 112), (208, 118), (184, 136), (171, 166), (166, 196)],
    [(238, 50), (192, 52), (162, 92), (150, 142), (157, 204)],
    22,
)
_SHORT_RIGHT = _Lock(
    [(236, 112), (278, 112), (318, 128), (340, 162), (346, 196)],
    [(238, 50), (308, 48), (348, 92), (362, 142), (355, 204)],
    22,
)
_TIED_LEFT = _Lock(
    [_ROOT, (214, 108), (184, 136), (168, 172), (162, 200), (158, 222)],
    [(238, 50), (192, 54), (158, 96), (146, 144), (146, 190), (152, 226)],
    22,
)
_TIED_RIGHT = _Lock(
    [_ROOT, (282, 100), (320, 126), (342, 164), (350, 198), (354, 222)],
    [(238, 50), (308, 50), (354, 94), (366, 144), (366, 190), (360, 226)],
    22,
)

_FRONT: dict[str, tuple[_Lock, _Lock]] = {
    "long": (_LONG_LEFT, _LONG_RIGHT),
    "bob": (_BOB_LEFT, _BOB_RIGHT),
    "short": (_SHORT_LEFT, _SHORT_RIGHT),
    "tied": (_TIED_LEFT, _TIED_RIGHT),
}
_BACK: dict[str, list[Point]] = {
    "long": [(256, 48), (178, 62), (130, 150), (118, 250), (98, 340), (94, 410), (140, 448), (256, 440)],
    "bob": [(256, 48), (178, 62), (130, 150), (120, 240), (122, 310), (150, 350), (200, 356), (256, 352)],
    "short": [(256, 54), (188, 66), (156, 120), (154, 180), (164, 230), (190, 240), (220, 240), (256, 240)],
    "tied": [(256, 54), (186, 68), (150, 124), (146, 190), (156, 240), (190, 250), (220, 250), (256, 250)],
}


def draw_back_hair(canvas: Canvas, look: Appearance) -> None:
    """Everything behind neck and face; dark, because it lies in the head's shadow."""
    if look.hair_style == "tied":
        _draw_bun(canvas, look)
    left = _BACK[look.hair_style]
    path = curve(left + mirror(left, CENTRE_X)[1:-1], closed=True)
    dark = mix(look.hair, "#0d0706", 0.58)
    paint = canvas.linear(
        (100, 60),
        (412, 440),
        [(0, mix(look.hair, "#0d0706", 0.35), 1), (0.5, dark, 1), (1, mix(look.hair, "#0d0706", 0.7), 1)],
    )
    canvas.path(path, paint)
    clip = canvas.clip(path)
    for index in range(24):
        share = index / 23
        x = 132 + 248 * share
        lean = (share - 0.5) * 60
        data = f"M{x:.1f} 220C{x - 0.2 * lean:.1f} 290 {x + 0.5 * lean:.1f} 350 {x + 0.2 * lean:.1f} 450"
        colour = mix(look.hair, "#ffe2b8", 0.10) if index % 3 else "#0d0706"
        canvas.line(data, colour, 1.2 + (index * 5) % 3, 0.30, clip=clip)


def _draw_bun(canvas: Canvas, look: Appearance) -> None:
    paint = canvas.radial(
        (246, 46),
        36,
        [(0, mix(look.hair, "#fff0d8", 0.24), 1), (0.6, look.hair, 1), (1, mix(look.hair, "#0d0706", 0.5), 1)],
    )
    canvas.ellipse((256, 54), (33, 27), paint)
    for index in range(9):
        y = 36 + 4.2 * index
        canvas.line(f"M226 {y + 6:.2f}Q256 {y - 9:.2f} 286 {y + 6:.2f}", mix(look.hair, "#0d0706", 0.5), 0.9, 0.4)


def draw_front_hair(canvas: Canvas, look: Appearance) -> None:
    """Both front locks with their shadow on the skin, strands and a band of light."""
    locks = _FRONT[look.hair_style]
    for lock in locks:
        canvas.line(_shifted(lock), look.deep, 4.0, 0.50, 4.5)
    for index, lock in enumerate(locks):
        _draw_lock(canvas, lock, look, bright=index == 0)


def _shifted(lock: _Lock) -> str:
    """The lock's inner edge, moved down to where its shadow falls."""
    moved = [(x, y + 5) for x, y in lock.inner[: len(lock.inner) // 2 + 2]]
    return curve(moved)


def _draw_lock(canvas: Canvas, lock: _Lock, look: Appearance, bright: bool) -> None:
    dark, light = mix(look.hair, "#0d0706", 0.5), mix(look.hair, "#ffe2b8", 0.30 if bright else 0.18)
    path = lock.path()
    clip = canvas.clip(path)
    tip = lock.between(0.5)[-1]
    paint = canvas.linear(
        (238, 44),
        (tip[0], max(tip[1], 240)),
        [
            (0, mix(look.hair, dark, 0.4), 1),
            (0.22, mix(look.hair, light, 0.35), 1),
            (0.5, look.hair, 1),
            (1, mix(look.hair, dark, 0.45), 1),
        ],
    )
    canvas.path(path, paint)
    for index in range(lock.strands):
        share = (index + 0.5) / lock.strands
        wobble = ((index * 37) % 11 - 5) / 5
        points = [(x + wobble * 1.6 * (i % 2), y) for i, (x, y) in enumerate(lock.between(share))]
        colour, opacity = (light, 0.26) if (index * 7) % 5 < 2 else (dark, 0.30)
        canvas.line(curve(points), colour, 0.7 + 1.9 * ((index * 5) % 4) / 3, opacity, clip=clip)
    _draw_shine(canvas, lock, light, clip, bright)
    canvas.line(curve(lock.inner), dark, 2.2, 0.5, 1.0, clip)


def _draw_shine(canvas: Canvas, lock: _Lock, light: str, clip: str, bright: bool) -> None:
    """The band of light across the crown, made of short strokes along the strands."""
    blur = 1.4
    for index in range(12):
        points = lock.between((index + 0.6) / 12.5)
        start = 1 if len(points) < 8 else 2
        (ax, ay), (bx, by) = points[start - 1], points[start]
        lift = 0.25 * ((index * 3) % 4) / 3
        head = (ax + (bx - ax) * (0.35 + lift), ay + (by - ay) * (0.35 + lift))
        tail = (ax + (bx - ax) * (1.0 + lift), ay + (by - ay) * (1.0 + lift))
        canvas.line(
            f"M{head[0]:.2f} {head[1]:.2f}L{tail[0]:.2f} {tail[1]:.2f}",
            mix(light, "#fff6e4", 0.35),
            2.6,
            0.34 if bright else 0.18,
            blur,
            clip,
        )
