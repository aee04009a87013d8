"""Hair behind and in front of the face: dozens of overlapping locks, loose hairs, and their shadow on the skin."""

import numpy as np

from inference.drawing.appearance import Appearance
from inference.drawing.crop import draw_crop_back, draw_crop_hair
from inference.drawing.hair_styles import STYLES, Style
from inference.drawing.locks import FINE, STEPS, Sheet, Tones, draw_lock, draw_strand, resample, waved
from inference.drawing.svg import Canvas, Point, curve, mirror, mix

CENTRE_X = 256.0
CLUMPS = 5  # of locks in a sheet


def draw_back_hair(canvas: Canvas, look: Appearance, sway: float = 0.0) -> None:
    """Everything behind neck and face; dark, because it lies in the head's shadow."""
    if look.hair_style == "crop":
        draw_crop_back(canvas, look)
        return
    style, tones = STYLES[look.hair_style], Tones.of(look.hair)
    if look.hair_style == "tied":
        _draw_bun(canvas, tones)
    left = [(x + sway * max(0.0, (y - 200) / 250), y) for x, y in style.back]
    contour = curve(
        [*left, *[(x + 2 * sway * max(0.0, (y - 200) / 250), y) for x, y in mirror(left, CENTRE_X)[1:-1]]], True
    )
    ends = [(0.0, tones.dark, 1.0), (0.5, mix(tones.deep, tones.dark, 0.3), 1.0), (1.0, tones.dark, 1.0)]
    canvas.path(contour, canvas.linear((100, 60), (412, 440), ends))
    if style.back[-1][1] > 300:
        _draw_nape(canvas, style, tones, sway)


def _draw_nape(canvas: Canvas, style: Style, tones: Tones, sway: float) -> None:
    """Dim locks beside the neck, so that the depth behind it is hair and not a hole."""
    low = style.back[-1][1]
    for index in range(18):
        side = -1 if index % 2 else 1
        away = 50.0 + 7.0 * (index // 2)
        tip = low + (14 if index % 4 < 2 else 2)
        points = [
            (CENTRE_X + side * away * s + sway * k, y)
            for s, y, k in (
                (0.9, 200, 0.0),
                (1.02, 260, 0.1),
                (1.1, 320, 0.4),
                (1.2, 0.5 * (320 + tip), 0.7),
                (1.22, tip, 1.0),
            )
        ]
        draw_lock(
            canvas, waved(resample(points), style.sheets[0].wave, 1.0, 0.13 * index), 17, tones, 0.10, 0.62, index
        )


def _draw_bun(canvas: Canvas, tones: Tones) -> None:
    """A knot on top of the head, its strands wound around it."""
    stops = [(0.0, tones.light, 1.0), (0.5, tones.base, 1.0), (1.0, tones.deep, 1.0)]
    canvas.ellipse((262, 42), (37, 27), canvas.radial((250, 30), 46, stops))
    for index in range(13):
        y = 20 + 3.6 * index
        rise = 4 + 5 * ((index * 5) % 4) / 3
        points = [(228.0, y + 7), (246.0, y - 0.4 * rise), (272.0, y - rise * 0.5), (297.0, y + 5)]
        colour = tones.gloss if index in (2, 3, 5) else tones.deep if index % 2 else tones.light
        draw_strand(canvas, points, colour, 1.2, 0.42)


def draw_front_hair(canvas: Canvas, look: Appearance, sway: float = 0.0) -> None:
    """The hair before the face with its shadow on forehead and cheeks; ``sway`` moves the tips, pixels to the right."""
    if look.hair_style == "crop":
        draw_crop_hair(canvas, look)
        return
    style, tones = STYLES[look.hair_style], Tones.of(look.hair)
    for sheet in style.sheets:
        _draw_shadow(canvas, sheet, look, sway)
    for number, sheet in enumerate(style.sheets):
        _draw_sheet(canvas, sheet, style, tones, sway, number)
    _draw_parting(canvas, style, look, tones)
    _draw_baby_hairs(canvas, style, tones)


def _edge(sheet: Sheet, share: float, sway: float) -> list[Point]:
    return waved(sheet.along(share), sheet.wave, sheet.turns, _phase(share), sway)


def _phase(share: float) -> float:
    """Neighbouring locks wave nearly together."""
    return 0.30 + 0.45 * share


def _draw_shadow(canvas: Canvas, sheet: Sheet, look: Appearance, sway: float) -> None:
    """The shadow that the hair's edge casts on the skin, down and to the right of it."""
    edge = _edge(sheet, 0.0, sway)[: round((0.66 if len(sheet.guides[0]) > 7 else 0.92) * STEPS)]
    canvas.line(curve([(x + 3, y + 7) for x, y in edge]), look.shadow, 11, 0.34, 5.0)
    canvas.line(curve([(x + 1, y + 3) for x, y in edge]), look.deep, 5, 0.42, 2.6)


def _draw_sheet(canvas: Canvas, sheet: Sheet, style: Style, tones: Tones, sway: float, number: int) -> None:
    """The locks of a sheet from the silhouette inwards, accents on top, loose hairs outside."""
    rng = np.random.default_rng([number, 3])
    inner, outer = _edge(sheet, 0.0, sway), _edge(sheet, 1.0, sway)
    body = round((0.72 if sheet.wave > 3 else 0.95) * len(inner))  # tips of waves are locks alone
    sheet_path = curve(inner[:body]) + "L" + curve(list(reversed(outer[:body])))[1:] + "Z"
    canvas.path(sheet_path, mix(tones.deep, tones.dark, 0.8))
    right = sheet.guides[0][-1][0] > CENTRE_X
    for index in range(style.locks):
        share = 1 - (index + 0.5) / style.locks
        _draw_one(canvas, sheet, style.width, tones, share, sway, rng, 100 * number + index)
    if right:
        _draw_rim(canvas, sheet, tones, sway)
    for index in range(style.locks - 3):
        share = 0.95 - 0.9 * ((index * 7) % (style.locks - 3)) / (style.locks - 4)
        _draw_one(canvas, sheet, style.width * 0.5, tones, share, sway, rng, 100 * number + 50 + index)
    for _ in range(style.loose):
        _draw_loose(canvas, sheet, tones, sway, rng)


def _draw_one(
    canvas: Canvas,
    sheet: Sheet,
    width: float,
    tones: Tones,
    share: float,
    sway: float,
    rng: np.random.Generator,
    seed: int,
) -> None:
    """One lock of a sheet with its own phase, length and light."""
    share = float(np.clip(share + rng.normal(0, 0.015), 0.0, 1.0))
    clump = (int(min(share, 0.999) * CLUMPS) + 0.5) / CLUMPS
    pull = 0.6 if sheet.wave > 3 else 0.15  # towards the tip, locks gather in clumps
    drift = pull * (clump - share) + float(rng.normal(0, 0.03))
    ends = zip(sheet.along(share), sheet.along(float(np.clip(share + drift, 0.0, 1.0))), strict=True)
    flow = [(a[0] + (b[0] - a[0]) * i / STEPS, a[1] + (b[1] - a[1]) * i / STEPS) for i, (a, b) in enumerate(ends)]
    uneven = sheet.wave > 3
    shorter = (round(7 * clump) * 2) % 3 // 2 + int(rng.integers(0, 2)) if uneven else 0
    shorter += 2 if uneven and width < FINE else 0  # fine locks end on wide ones
    height = sheet.wave * float(rng.uniform(0.85, 1.15))
    points = waved(
        resample(flow[: len(flow) - shorter]), height, sheet.turns, _phase(clump) + float(rng.normal(0, 0.03)), sway
    )
    turned = 4 * share * (1 - share)  # 1 where the sheet faces us, 0 at its edges
    light = sheet.lit * (0.30 + 0.55 * turned) * float(rng.uniform(0.75, 1.1)) * (0.66 if width < FINE else 1.0)
    draw_lock(canvas, points, width, tones, min(light, 1.0), sheet.shine + float(rng.normal(0, 0.012)), seed)


def _draw_rim(canvas: Canvas, sheet: Sheet, tones: Tones, sway: float) -> None:
    """The cool light along the silhouette on the right."""
    for share, width, opacity in ((0.985, 2.6, 0.34), (0.95, 1.2, 0.34), (0.91, 0.9, 0.22)):
        points = _edge(sheet, share, sway)[1 : round(0.62 * STEPS)]
        ends = [
            (0.0, tones.rim, 0.0),
            (0.25, tones.rim, opacity),
            (0.7, tones.rim, 0.7 * opacity),
            (1.0, tones.rim, 0.0),
        ]
        canvas.line(curve(points), canvas.linear(points[0], points[-1], ends), width)


def _draw_loose(canvas: Canvas, sheet: Sheet, tones: Tones, sway: float, rng: np.random.Generator) -> None:
    """One hair that leaves the silhouette."""
    share = 1.0 + float(abs(rng.normal(0, 0.02)))
    points = waved(sheet.along(1.0), sheet.wave, sheet.turns, 0.6 + float(rng.normal(0, 0.08)), sway)
    start = int(rng.integers(0, len(points) - 6))
    end = min(len(points), start + int(rng.integers(6, 12)))
    side = -1.0 if sheet.guides[0][-1][0] < CENTRE_X else 1.0
    reach = float(rng.uniform(1.0, 6.5)) * share
    part = points[start:end]
    last = len(part) - 1
    hair = [(x + side * reach * (i / last) ** 1.4, y - 0.35 * reach * (i / last)) for i, (x, y) in enumerate(part)]
    draw_strand(canvas, hair, tones.light if rng.random() < 0.5 else tones.base, float(rng.uniform(0.6, 0.95)), 0.55)


def _draw_parting(canvas: Canvas, style: Style, look: Appearance, tones: Tones) -> None:
    """The scalp's thin line between the sheets, darkened by the roots on both sides."""
    if not style.parting:
        return
    canvas.line(curve(style.parting), tones.deep, 9, 0.40, 4.2)
    canvas.line(curve(style.parting), mix(look.shadow, look.hair, 0.62), 1.0, 0.34, 0.6)


def _draw_baby_hairs(canvas: Canvas, style: Style, tones: Tones) -> None:
    """Fine short hairs on the hairline, that soften the edge between hair and forehead."""
    rng = np.random.default_rng(17)
    for sheet in style.sheets:
        edge = sheet.along(0.0)
        for _ in range(16):
            x, y = edge[int(rng.integers(0, 7))]
            x += float(rng.normal(0, 4))
            side = -1.0 if edge[-1][0] < CENTRE_X else 1.0
            reach, drop = side * float(rng.uniform(5, 13)), float(rng.uniform(4, 11))
            hair = [(x, y - 3), (x + 0.35 * reach, y + 0.25 * drop), (x + reach, y + drop)]
            draw_strand(canvas, hair, tones.base, 0.6, float(rng.uniform(0.18, 0.4)))
