"""Clothes of a head-and-shoulders portrait: blazer over a top, jacket over an open shirt, fine knit."""

from inference.drawing.appearance import Appearance
from inference.drawing.svg import Canvas, Point, curve, mirror, mix

CENTRE_X = 256.0
RIM = "#cfe0f5"  # the cool light from the right

_SHOULDER: list[Point] = [(-14, 560), (-8, 500), (14, 464), (56, 442), (104, 428), (150, 412), (184, 391)]
_BROAD: list[Point] = [(-60, 560), (-44, 496), (-10, 456), (44, 433), (100, 421), (150, 408), (182, 388)]


def draw_clothes(canvas: Canvas, look: Appearance) -> None:
    """Shoulders and chest in the identity's clothes."""
    if look.clothes_style == "knit":
        _draw_knit(canvas, look)
    elif look.clothes_style == "jacket":
        _draw_shirt(canvas, look)
        _draw_tailored(canvas, look, _BROAD, 1.12)
    else:
        _draw_top(canvas, look)
        _draw_tailored(canvas, look, _SHOULDER, 1.0)


def _flip(points: list[Point]) -> list[Point]:
    """The points on the other side, in the same order."""
    return list(reversed(mirror(points, CENTRE_X)))


def _fit(points: list[Point], look: Appearance) -> list[Point]:
    """The points moved outwards around a wider neck; below the collar bones nothing moves."""
    wider = 46 * (look.neck - 1)
    fitted = []
    for x, y in points:
        near = min(1.0, max(0.0, (446 - y) / 56)) * min(1.0, abs(x - CENTRE_X) / 40)
        fitted.append((x + (wider if x > CENTRE_X else -wider) * near, y))
    return fitted


def _join(*parts: list[Point]) -> str:
    """A closed path along smooth parts that meet in corners."""
    return curve(parts[0]) + "".join("L" + curve(part)[1:] for part in parts[1:]) + "Z"


def _tones(colour: str) -> tuple[str, str, str]:
    """Shaded, own and lit colour of cloth."""
    return mix(colour, "#06080e", 0.58), colour, mix(colour, "#ffe9cf", 0.20)


def _cloth(canvas: Canvas, tones: tuple[str, str, str]) -> str:
    """The paint of a garment across the picture, lit from the upper left."""
    dark, own, lit = tones
    near, far = mix(own, dark, 0.30), mix(own, dark, 0.72)
    return canvas.linear(
        (60, 410),
        (450, 540),
        [(0, mix(own, lit, 0.7), 1), (0.28, mix(own, lit, 0.25), 1), (0.62, near, 1), (1, far, 1)],
    )


def _draw_top(canvas: Canvas, look: Appearance) -> None:
    """A light shell top with a soft round neckline and gathered folds."""
    dark, own, lit = _tones(look.undershirt)
    neckline: list[Point] = [(168, 402), (196, 428), (226, 446), (256, 451), (286, 446), (316, 428), (344, 402)]
    body = _join(neckline, [(372, 560), (140, 560)])
    paint = canvas.linear(
        (180, 430), (340, 520), [(0, lit, 1), (0.5, mix(own, dark, 0.10), 1), (1, mix(own, dark, 0.42), 1)]
    )
    canvas.path(body, paint)
    clip = canvas.clip(body)
    canvas.line(curve([(x, y + 5) for x, y in neckline]), mix(own, dark, 0.5), 1.0, 0.55, 0.4, clip)
    canvas.line(curve(neckline), mix(own, "#ffffff", 0.5), 2.2, 0.7, 0.6, clip)
    for x, lean, strength in ((214, 10, 0.30), (240, 4, 0.22), (266, -5, 0.30), (296, -14, 0.36)):
        fold = [(x, 452.0), (x + lean * 0.5, 484.0), (x + lean * 1.4, 530.0)]
        canvas.line(curve(fold), mix(own, dark, 0.6), 7, strength, 4.5, clip)
        canvas.line(curve([(px - 6, py) for px, py in fold]), "#ffffff", 4, 0.5 * strength, 3, clip)


def _draw_shirt(canvas: Canvas, look: Appearance) -> None:
    """A shirt with an open collar: two leaves, the placket and a button."""
    dark, own, lit = _tones(look.undershirt)
    chest = _join(
        _fit([(180, 392), (206, 428), (256, 474)], look),
        _fit([(256, 474), (306, 428), (332, 392)], look),
        [(390, 560), (122, 560)],
    )
    canvas.path(
        chest,
        canvas.linear(
            (180, 420), (340, 540), [(0, lit, 1), (0.5, mix(own, dark, 0.14), 1), (1, mix(own, dark, 0.5), 1)]
        ),
    )
    clip = canvas.clip(chest)
    canvas.line("M258 470L262 560", mix(own, dark, 0.75), 5, 0.30, 2.5, clip)
    canvas.line("M256 472L259 560", mix(own, dark, 0.7), 1.1, 0.8, 0.0, clip)
    canvas.line("M272 486L275 560", mix(own, dark, 0.5), 0.8, 0.5, 0.0, clip)
    canvas.ellipse((266, 500), (3.6, 3.6), mix(own, dark, 0.25))
    canvas.ellipse((265.4, 499.4), (2.4, 2.4), mix(own, "#ffffff", 0.5))
    leaf: list[list[Point]] = [
        [(205, 370), (206, 404), (226, 440), (256.5, 471)], [(256.5, 471), (238, 479), (214, 485)],
        [(214, 485), (190, 452), (174, 416), (182, 388), (205, 370)],
    ]  # fmt: skip
    for side in (0, 1):
        parts = [_flip(_fit(part, look)) if side else _fit(part, look) for part in leaf]
        path = _join(*parts)
        canvas.line(curve([(x, y + 3) for x, y in parts[1]]), mix(own, dark, 0.9), 6, 0.42, 3.2)
        tone = mix(own, dark, 0.30 if side else 0.02)
        ends = [(0, mix(tone, dark, 0.34), 1), (0.4, tone, 1), (1, mix(tone, "#ffffff", 0.25), 1)]
        canvas.path(path, canvas.linear((256, 384), (256, 480), ends))
        canvas.line(curve(parts[0]), mix(own, "#ffffff", 0.7), 1.4, 0.6, 0.5)
        inset = [(x + (3 if side else -3) * -1, y - 4) for x, y in parts[1]]
        canvas.line(curve(inset), mix(own, dark, 0.5), 0.7, 0.45)


def _draw_tailored(canvas: Canvas, look: Appearance, shoulder: list[Point], size: float) -> None:
    """Both fronts of a tailored jacket; ``size`` is the width of the lapels."""
    dark, own, lit = _tones(look.clothes)
    for right in (False, True):
        front = _fit([(184, 391), (196, 424), (218, 478), (248, 560)], look)
        side = _fit(shoulder, look)
        edges = [_flip(side), _flip(front)] if right else [side, front]
        body = _join(*edges)
        clip = canvas.clip(body)
        canvas.line(curve(edges[1]), "#05070c", 9, 0.30, 5.0)
        canvas.path(body, _cloth(canvas, (dark, own, lit)))
        _shade_front(canvas, edges[0], right, (dark, own, lit), clip)
        edge, opacity = (mix(own, RIM, 0.65), 0.62) if right else (mix(lit, look.light, 0.55), 0.50)
        canvas.line(curve([(x, y + 1.2) for x, y in edges[0][1:]]), edge, 2.1, opacity, 1.2)
        _draw_lapel(canvas, right, look, size, clip)


def _shade_front(canvas: Canvas, shoulder: list[Point], right: bool, tones: tuple[str, str, str], clip: str) -> None:
    """Roundness of the shoulder, the armhole's seam and folds that run from it."""
    dark, _, lit = tones
    sign = -1 if right else 1
    flip = _flip if right else list

    def at(*points: Point) -> list[Point]:
        return flip(list(points))

    top = at((96, 446))[0]
    if not right:
        canvas.ellipse(top, (64, 20), lit, 0.42, 13, clip, turn=-16)
    canvas.ellipse(at((30, 540))[0], (38, 62), dark, 0.50, 16, clip, turn=8 * sign)
    seam = at((66, 437), (60, 462), (70, 500), (92, 560))
    canvas.line(curve([(x + 5 * sign, y) for x, y in seam]), dark, 9, 0.34, 5, clip)
    canvas.line(curve(seam), dark, 1.4, 0.60, 0.5, clip)
    canvas.line(curve([(x - 2.2 * sign, y) for x, y in seam]), lit, 1.2, 0.34, 0.6, clip)
    folds = (
        at((92, 560), (112, 520), (150, 490)),
        at((76, 512), (104, 492), (140, 470)),
        at((40, 480), (34, 510), (40, 560)),
    )
    for index, fold in enumerate(folds):
        canvas.line(curve(fold), dark, 9 - 2 * index, 0.46, 5.0, clip)
        canvas.line(curve([(x - 3 * sign, y - 7) for x, y in fold]), lit, 6, 0.22 if right else 0.34, 4.5, clip)


def _draw_lapel(canvas: Canvas, right: bool, look: Appearance, size: float, clip: str) -> None:
    """Collar and lapel with gorge, notch, roll and an edge stitch."""
    dark, own, lit = _tones(look.clothes)
    flip = _flip if right else list

    def out(points: list[Point]) -> list[Point]:
        """The points with their distance from the roll line scaled, on the side that is drawn."""
        scaled = [(x - (size - 1) * 0.5 * (200 - x) if x < 200 else x, y) for x, y in points]
        return flip(_fit(scaled, look))

    roll: list[Point] = [(198, 428), (220, 480), (250, 566)]
    lapel = [
        out(roll),
        out([(250, 566), (212, 540), (176, 500), (150, 456), (146, 448)]),
        out([(146, 448), (172, 440), (198, 428)]),
    ]
    collar = [
        out([(203, 371), (194, 402), (198, 428)]),
        out([(198, 428), (172, 440)]),
        out([(172, 440), (160, 433), (154, 428)]),
        out([(154, 428), (162, 406), (180, 386), (203, 371)]),
    ]
    face = mix(own, dark, 0.34) if right else mix(own, lit, 0.30)
    for parts, shadow in ((lapel, lapel[1]), (collar, [*collar[2], *collar[3][1:-1]])):
        canvas.line(curve([(x + 1, y + 5) for x, y in shadow]), "#04060a", 6.5, 0.34, 4.5, clip)
        xs = [x for part in parts for x, _ in part]
        inner, outer = (min(xs), max(xs)) if right else (max(xs), min(xs))
        ends = [
            (0, mix(face, dark, 0.42), 1),
            (0.25, face, 1),
            (0.75, mix(face, lit, 0.22), 1),
            (1, mix(face, lit, 0.05), 1),
        ]
        canvas.path(_join(*parts), canvas.linear((inner, 430), (outer, 400), ends))
    canvas.line(curve(lapel[2]), dark, 1.5, 0.75, 0.5)
    canvas.line(curve([(x, y - 1.6) for x, y in lapel[2]]), lit, 0.9, 0.40, 0.4)
    edge = mix(face, lit, 0.8)
    canvas.line(curve(lapel[1]), edge, 1.0, 0.40 if right else 0.65, 0.3)
    canvas.line(curve(collar[3]), edge, 1.0, 0.30 if right else 0.55, 0.3)
    inset = [(x + (-4 if right else 4), y - 2) for x, y in lapel[1]]
    canvas.line(curve(inset), dark, 0.7, 0.35)


def _draw_knit(canvas: Canvas, look: Appearance) -> None:
    """A fine crew-neck knit: ribbed collar, raglan seams, soft folds."""
    dark, own, lit = _tones(look.clothes)
    left = _fit(_SHOULDER, look)
    neckline = _fit([(199, 379), (207, 408), (231, 429), (256, 434), (281, 429), (305, 408), (313, 379)], look)
    body = _join(
        [*left[:-1], (186.0 - 46 * (look.neck - 1), 389.0), neckline[0]],
        neckline,
        [neckline[-1], *reversed(_flip([*left[:-1], (186.0 - 46 * (look.neck - 1), 389.0)]))],
    )
    clip = canvas.clip(body)
    canvas.path(body, _cloth(canvas, (dark, own, lit)))
    for right in (False, True):
        flip = _flip if right else list
        sign = -1 if right else 1
        canvas.ellipse(flip([(26.0, 540.0)])[0], (40, 66), dark, 0.45, 16, clip, turn=8 * sign)
        raglan = flip([(188.0, 416.0), (160.0, 446.0), (130.0, 492.0), (118.0, 560.0)])
        canvas.line(curve([(x + 4 * sign, y) for x, y in raglan]), dark, 7, 0.28, 4, clip)
        canvas.line(curve(raglan), dark, 1.3, 0.42, 0.6, clip)
        for fold in ([(118.0, 552.0), (96.0, 512.0), (64.0, 490.0)], [(120.0, 530.0), (150.0, 512.0), (196.0, 516.0)]):
            canvas.line(curve(flip(fold)), dark, 9, 0.36, 5.5, clip)
            canvas.line(curve([(x, y - 9) for x, y in flip(fold)]), lit, 7, 0.20 if right else 0.34, 5, clip)
    canvas.ellipse((104, 446), (66, 20), lit, 0.42, 13, clip, turn=-16)
    _draw_rib(canvas, neckline, (dark, own, lit), clip)
    canvas.line(curve([(x, y + 1) for x, y in _flip(left)[1:]]), mix(own, RIM, 0.65), 2.2, 0.6, 1.2)


def _draw_rib(canvas: Canvas, neckline: list[Point], tones: tuple[str, str, str], clip: str) -> None:
    """The ribbed band around the neck."""
    dark, own, lit = tones
    low = [(CENTRE_X + (x - CENTRE_X) * 1.17, y + 14 - 6 * abs(x - CENTRE_X) / 72) for x, y in neckline]
    canvas.line(curve([(x, y + 5) for x, y in low]), dark, 7, 0.45, 4, clip)
    band = _join(neckline, list(reversed(low)))
    ends = [(0, mix(own, lit, 0.75), 1), (0.5, mix(own, lit, 0.1), 1), (1, mix(own, dark, 0.5), 1)]
    canvas.path(band, canvas.linear((180, 400), (340, 430), ends))
    ribs = 46
    for index in range(1, ribs):
        place = index / ribs * (len(neckline) - 1)
        i, part = min(int(place), len(neckline) - 2), place - min(int(place), len(neckline) - 2)
        (ax, ay), (bx, by) = ((p[i][0] + (p[i + 1][0] - p[i][0]) * part, p[i][1] + (p[i + 1][1] - p[i][1]) * part)
                              for p in (neckline, low))  # fmt: skip
        canvas.line(f"M{ax:.2f} {ay:.2f}L{bx:.2f} {by:.2f}", dark, 0.9, 0.30)
    canvas.line(curve(neckline), mix(own, lit, 0.9), 1.4, 0.5, 0.6)
    canvas.line(curve(low), dark, 1.0, 0.5, 0.5)
