"""The room behind the head, out of focus: window and plants by day, or books, a lamp and the lights of a town."""

import numpy as np

from inference.drawing.appearance import Appearance
from inference.drawing.svg import Canvas, mix

FULL = "M-60 -60H572V572H-60Z"
FAR = 11.0  # Gaussian blur of what stands in the room, pixels


def draw_room(canvas: Canvas, look: Appearance) -> None:
    """The whole background of the frame; it does not move with the pose."""
    if look.room == "study":
        _draw_study(canvas, look)
    else:
        _draw_window(canvas, look)
    vignette = canvas.radial(
        (236, 210),
        400,
        [
            (at, "#0c1016", 0.40 * max(0.0, at - 0.45) ** 2 / 0.3)
            for at in (0.0, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 1.0)
        ],
        1.05,
    )
    canvas.path(FULL, vignette)


def _block(canvas: Canvas, box: tuple[float, float, float, float], fill: str, opacity: float = 1.0) -> None:
    x1, y1, x2, y2 = box
    canvas.path(f"M{x1} {y1}H{x2}V{y2}H{x1}Z", fill, opacity)


def _draw_window(canvas: Canvas, look: Appearance) -> None:
    """Morning: a tall window on the left, a pale wall, a shelf and a plant on the right."""
    wall, deep = look.background, mix(look.background, "#27313a", 0.62)
    ends = [(0, mix(wall, look.light, 0.35), 1), (0.5, mix(wall, deep, 0.16), 1), (1, mix(wall, deep, 0.72), 1)]
    canvas.path(FULL, canvas.linear((60, 40), (512, 330), ends))
    canvas.open_blur(FAR)
    _draw_panes(canvas, look)
    for index, x in enumerate((150, 163, 177, 190, 203)):
        colour = mix(look.light, wall, 0.25) if index % 2 else mix(wall, deep, 0.10)
        _block(canvas, (x, -40, x + 11, 430), colour, 0.75)
    _draw_shelf(canvas, mix(wall, "#6b4a33", 0.62), mix(wall, deep, 0.62))
    _draw_plant(canvas, (470, 330), "#4d6b4a", "#2d4434")
    _block(canvas, (-60, 356, 152, 372), mix(look.light, "#ffffff", 0.3))
    _block(canvas, (-60, 372, 240, 572), mix(wall, "#5a4b41", 0.55))
    _block(canvas, (240, 404, 572, 572), mix(deep, "#3a2d26", 0.5))
    canvas.close_blur()
    _draw_discs(canvas, [(432, 92, 15), (462, 116, 20), (404, 138, 11), (488, 70, 12), (446, 160, 9)], "#fff0d2", 0.15)
    beam = [(at / 10, look.light, 0.55 * (1 - at / 10) ** 2) for at in range(11)]
    canvas.path(FULL, canvas.radial((64, 130), 330, beam))


def _draw_panes(canvas: Canvas, look: Appearance) -> None:
    """The over-bright window with trees outside."""
    sky = [
        (0, "#f4f9ff", 1.0),
        (0.55, mix(look.light, "#ffffff", 0.45), 1.0),
        (1, mix(look.light, "#d8dfb8", 0.55), 1.0),
    ]
    _block(canvas, (-60, -60, 152, 358), canvas.linear((0, 0), (0, 358), sky))
    for x, y, size, colour in ((8, 318, 58, "#a9bf8f"), (76, 336, 46, "#93b07e"), (132, 300, 36, "#b9cba2")):
        canvas.ellipse((x, y), (size, size * 0.9), colour, 0.75)
    frame = mix(look.background, "#ffffff", 0.42)
    _block(canvas, (66, -60, 76, 358), frame)
    _block(canvas, (-60, 150, 152, 159), frame)
    _block(canvas, (146, -60, 156, 372), mix(frame, look.background, 0.5))


def _draw_shelf(canvas: Canvas, wood: str, shade: str) -> None:
    """Two boards with books and bowls."""
    rng = np.random.default_rng(41)
    for board in (128, 238):
        _block(canvas, (392, board, 572, board + 9), wood)
        _block(canvas, (392, board + 9, 572, board + 20), shade, 0.5)
    x = 400.0
    for colour in ("#8c4a3a", "#d9c8a8", "#46606b", "#b98a4c", "#70808a", "#e4dccb", "#7a3f36"):
        width, height = float(rng.uniform(10, 17)), float(rng.uniform(44, 66))
        _block(canvas, (x, 238 - height, x + width, 238), mix(colour, shade, 0.25))
        x += width + 2
    canvas.ellipse((424, 108), (17, 20), mix("#d8cbb6", shade, 0.2))
    canvas.ellipse((478, 96), (13, 32), mix("#a9633f", shade, 0.2))


def _draw_plant(canvas: Canvas, foot: tuple[float, float], light: str, dark: str) -> None:
    """Broad leaves that fan out of a pot behind the shoulder."""
    x, y = foot
    for index, (dx, dy, size, turn) in enumerate(
        (
            (-50, -6, 40, 28),
            (-26, -48, 46, 58),
            (12, -66, 48, 88),
            (40, -40, 46, 120),
            (-58, 40, 38, 4),
            (26, 6, 44, 160),
        )
    ):
        canvas.ellipse((x + dx, y + dy), (size, 13), dark if index % 2 else light, 0.92, turn=turn)
    _block(canvas, (x - 34, y + 52, x + 44, y + 140), "#b08a68")


def _draw_study(canvas: Canvas, look: Appearance) -> None:
    """Evening: books lit by a lamp on the left, a window with dusk and the lights of a town on the right."""
    wall = mix(look.background, "#33261f", 0.74)
    ends = [(0, mix(wall, look.background, 0.45), 1), (0.5, wall, 1), (1, mix(wall, "#12161f", 0.5), 1)]
    canvas.path(FULL, canvas.linear((40, 60), (480, 420), ends))
    canvas.open_blur(FAR)
    _draw_books(canvas, wall)
    _draw_dusk(canvas, wall)
    canvas.path("M58 128L112 128L132 190L38 190Z", "#ffe0a6")
    _block(canvas, (80, 190, 90, 250), "#6a4a30")
    _block(canvas, (-60, 250, 188, 264), mix(wall, "#b98453", 0.5))
    _block(canvas, (-60, 264, 188, 572), mix(wall, "#1a1410", 0.35))
    _block(canvas, (188, 396, 572, 572), mix(wall, "#0e0d10", 0.5))
    canvas.close_blur()
    canvas.path(
        FULL, canvas.radial((85, 160), 250, [(0, "#ffd28c", 0.75), (0.3, "#f7b268", 0.34), (1, "#f0a050", 0.0)])
    )
    warm = [(412, 276, 13), (448, 302, 17), (492, 286, 14), (420, 322, 9)]
    _draw_discs(canvas, warm, "#ffc985", 0.24)
    _draw_discs(canvas, [(474, 320, 11), (398, 304, 8)], "#a8cdf5", 0.22)


def _draw_books(canvas: Canvas, wall: str) -> None:
    """Shelves of books up to the ceiling, brighter towards the lamp."""
    rng = np.random.default_rng(43)
    colours = ("#8a5138", "#c7a577", "#4f5a4c", "#96653f", "#3f4a5a", "#b98c5a", "#6e3d30", "#d6c29c")
    for board in (72, 236):
        x = -20.0
        while x < 330:
            width, height = float(rng.uniform(11, 21)), float(rng.uniform(58, 92))
            away = min(1.0, abs(x - 85) / 260)
            colour = mix(str(rng.choice(colours)), wall, 0.30 + 0.62 * away)
            _block(canvas, (x, board - height, x + width, board), colour)
            x += width + float(rng.uniform(1, 4))
        _block(canvas, (-60, board, 336, board + 12), mix(wall, "#a9774a", 0.42))


def _draw_dusk(canvas: Canvas, wall: str) -> None:
    """The window on the right: blue above, a last warm band, dark roofs."""
    sky = [(0, "#3c5f8e", 1), (0.5, "#7d97b6", 1), (0.8, "#dfae8a", 1), (1, "#8a6a66", 1)]
    _block(canvas, (376, -60, 572, 344), canvas.linear((0, -10), (0, 300), sky))
    _block(canvas, (376, 262, 572, 344), "#33394a")
    frame = mix(wall, "#15110f", 0.4)
    _block(canvas, (368, -60, 382, 352), frame)
    _block(canvas, (462, -60, 471, 344), frame)
    _block(canvas, (368, 344, 572, 358), mix(wall, "#7a5a3c", 0.35))


def _draw_discs(canvas: Canvas, discs: list[tuple[int, int, int]], colour: str, opacity: float) -> None:
    """Lights out of focus: soft discs."""
    for x, y, radius in discs:
        edge = [(0.5, colour, opacity * 0.8), (0.75, colour, opacity * 0.5), (1, colour, 0.0)]
        stops = [(0, colour, opacity * 0.9), *edge]
        canvas.ellipse((x, y), (radius, radius), canvas.radial((x, y), radius, stops))
