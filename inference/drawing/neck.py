"""Neck and ears, and the shadow that the chin throws."""

import numpy as np

from inference.drawing.appearance import Appearance
from inference.drawing.face import CHIN_Y, both
from inference.drawing.light import KEY_COLOUR, Pixels, diffuse, display, linear, rim, shine
from inference.drawing.mouth_shape import CENTRE_X
from inference.drawing.relief import Bump, Field, Grid, hills, normals
from inference.drawing.svg import Canvas, curve, mix

# What is left of the light in the chin's shadow: red comes through skin the farthest.
SHADE = np.array([0.50, 0.40, 0.38], dtype=np.float32)
STILL_Y = 370.0  # just above the face box's lower edge
FADE = 12.0  # pixels


def neck_path(look: Appearance, dx: float) -> str:
    """Neck and upper chest; the neck leans with the head."""
    x, base, half = CENTRE_X + 0.75 * dx, CENTRE_X, 46 * (0.35 + 0.65 * look.jaw_width) * look.neck
    return (
        f"M{x - half:.2f} 270C{x - half + 1:.2f} 330 {base - half + 2:.2f} 372 {base - half - 14:.2f} 394"
        f"C{base - half - 38:.2f} 412 {base - 112:.2f} 422 {base - 122:.2f} 440"
        f"L{base} 520L{base + 122:.2f} 440C{base + 112:.2f} 422 {base + half + 38:.2f} 412 {base + half + 14:.2f} 394"
        f"C{base + half - 2:.2f} 372 {x + half - 1:.2f} 330 {x + half:.2f} 270Z"
    )


def chin_shadow(grid: Grid, look: Appearance, jaw: float) -> Pixels:
    """Factor [h, w, 3] of the light that reaches the neck below the jaw.

    It follows the jaw down to ``STILL_Y`` alone: what is below the face box is never painted, and a shadow that moves
    above the box's edge and not below it would show the edge.
    """
    moving = np.clip((STILL_Y - grid.y) / FADE, 0.0, 1.0)
    share = moving * moving * (3 - 2 * moving)
    depth = _shadow(grid, look, jaw) * share + _shadow(grid, look, 0.0) * (1 - share)
    factor: Pixels = (1 - depth[..., None] * (1 - SHADE)).astype(np.float32)
    return factor


def _shadow(grid: Grid, look: Appearance, jaw: float) -> Field:
    """Depth 0..1 of the shadow of a chin that is ``jaw`` pixels down, [h, w]."""
    chin = CHIN_Y + look.chin + jaw
    wide = look.jaw_width * look.face_width
    bumps = [Bump(CENTRE_X + 5, chin - 15, 45 * wide, 25, 1.05), Bump(CENTRE_X + 13, chin + 3, 31 * wide, 13, 0.36)]
    return np.clip(hills(grid, bumps), 0.0, 1.0)


def paint_neck(grid: Grid, look: Appearance, dx: float) -> Pixels:
    """Lit skin of neck and chest, [h, w, 3] in 0..255: a column with tendons, collar bones and the pit between."""
    half = 46 * look.neck
    reach = (1.08 * half + 0.030 * np.maximum(grid.y - 362, 0) ** 2).astype(np.float32)
    across = (grid.x - CENTRE_X - 0.4 * dx) / reach
    column = 46 * np.sqrt(np.maximum(1 - across * across, 0.04))
    bumps = [
        Bump(CENTRE_X, 417, 8, 8, -2.4),
        Bump(CENTRE_X, 382, 6, 10, 5.0 * max(0.0, look.neck - 1.06)),
        *both(Bump(27 * look.neck, 366, 6.5, 33, 2.0, 16)),
        *both(Bump(15, 386, 6, 26, -0.8, 14)),
        *both(Bump(52, 420, 34, 5.4, 2.2, -3)),
        *both(Bump(40 * look.neck, 409, 17, 7, -1.6, -3)),
    ]
    towards = normals((column + hills(grid, bumps)).astype(np.float32))
    hidden = hills(grid, [Bump(CENTRE_X, 418, 9, 8, 0.20), *both(Bump(40, 409, 18, 5, 0.14))])[..., None]
    light = diffuse(towards, linear(mix(look.skin, look.shadow, 0.06)), np.clip(1 - hidden, 0, 1).astype(np.float32))
    gleam = 0.05 * shine(towards, 12) * KEY_COLOUR
    return display((light + gleam + rim(towards) * 0.10).astype(np.float32))


def draw_ears(canvas: Canvas, look: Appearance) -> None:
    """Both ears with helix, bowl and lobe; light shines red through them. Long hair hides them."""
    if look.hair_style in ("waves", "straight", "bob"):
        return
    for side in (-1, 1):
        x = CENTRE_X + side * 91 * look.face_width
        rim = [(-4, 206), (1, 194), (9, 189), (15.5, 197), (15, 212), (11.5, 226), (8.5, 238), (4, 249), (-3, 249)]
        points = [(x + side * a, float(b) + look.eye_height) for a, b in rim]
        warm = mix(look.skin, look.blush, 0.20 + 0.4 * min(1.0, float(linear(look.skin).mean()) / 0.5))
        lit, dim = (mix(warm, look.glow, 0.28), look.shadow) if side < 0 else (mix(warm, look.glow, 0.05), look.shadow)
        paint = canvas.linear(
            (x + side * 16, 190),
            (x - side * 4, 250),
            [(0, lit, 1), (0.6, mix(warm, dim, 0.4), 1), (1, mix(warm, dim, 0.6), 1)],
        )
        outline = curve(points, closed=True)
        canvas.path(outline, paint)
        clip = canvas.clip(outline)
        y = look.eye_height
        bowl = [
            (x + side * 1, 214.0 + y),
            (x + side * 7, 211 + y),
            (x + side * 7.5, 224 + y),
            (x + side * 2.5, 234 + y),
        ]
        canvas.ellipse((x + side * 2.5, 222 + y), (5, 11), look.deep, 0.55, 2.4, clip)
        helix = [
            (x + side * 1, 201.0 + y),
            (x + side * 8, 195 + y),
            (x + side * 11.6, 204 + y),
            (x + side * 9.6, 224 + y),
        ]
        canvas.line(curve(helix), look.deep, 2.2, 0.42, 1.1, clip)
        canvas.line(curve(bowl), mix(warm, look.glow, 0.3), 1.6, 0.4, 1.0, clip)
        bright = [
            (x + side * 8, 191.5 + y),
            (x + side * 14, 198 + y),
            (x + side * 13.4, 212 + y),
            (x + side * 10, 227 + y),
        ]
        canvas.line(curve(bright), look.glow if side < 0 else "#cfe0f5", 1.6, 0.5 if side < 0 else 0.34, 1.0, clip)
        canvas.ellipse((x + side * 4.5, 243 + y), (4, 4.5), look.glow, 0.3 if side < 0 else 0.12, 2.0, clip)
