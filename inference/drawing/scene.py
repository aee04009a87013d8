"""Background with soft light, and the clothes."""

from inference.drawing.appearance import Appearance
from inference.drawing.svg import Canvas, mix


def draw_background(canvas: Canvas, look: Appearance) -> None:
    """A plain wall with a pool of light behind the head and a darker foot."""
    dark = mix(look.background, "#2b3442", 0.42)
    wall = canvas.linear(
        (0, 0), (512, 512), [(0, mix(look.background, look.light, 0.35), 1), (0.55, look.background, 1), (1, dark, 1)]
    )
    canvas.path("M0 0H512V512H0Z", wall)
    pool = canvas.radial((186, 150), 300, [(0, look.light, 0.85), (0.5, look.light, 0.32), (1, look.light, 0.0)])
    canvas.path("M0 0H512V512H0Z", pool)
    foot = canvas.radial((300, 560), 300, [(0, mix(dark, "#1c222c", 0.4), 0.55), (1, dark, 0.0)], 0.8)
    canvas.path("M0 0H512V512H0Z", foot)


def draw_clothes(canvas: Canvas, look: Appearance) -> None:
    """Shoulders in a sweater or in a blazer over a light top."""
    if look.clothes_style == "sweater":
        _draw_sweater(canvas, look)
    else:
        _draw_blazer(canvas, look)


def _cloth_paint(canvas: Canvas, look: Appearance) -> str:
    light, dark = mix(look.clothes, "#ffffff", 0.16), mix(look.clothes, "#080a10", 0.42)
    return canvas.linear(
        (40, 400),
        (470, 520),
        [(0, mix(look.clothes, dark, 0.25), 1), (0.22, light, 1), (0.55, look.clothes, 1), (1, dark, 1)],
    )


def _draw_sweater(canvas: Canvas, look: Appearance) -> None:
    dark = mix(look.clothes, "#05070c", 0.5)
    left, right = (
        "M12 540C16 470 40 446 92 430C140 416 168 408 186 398",
        "C344 408 372 416 420 430C472 446 496 470 500 540Z",
    )
    body = left + "C204 432 308 432 326 398" + right
    canvas.path(body, _cloth_paint(canvas, look))
    clip = canvas.clip(body)
    collar = "M184 397C206 436 306 436 328 397C332 399 336 401 340 403C322 450 190 450 172 403C176 401 180 399 184 397Z"
    canvas.path(collar, mix(look.clothes, "#ffffff", 0.08))
    canvas.line("M172 403C190 450 322 450 340 403", dark, 1.6, 0.5, 0.8)
    for index in range(25):
        x = 178 + 6.5 * index
        bend = 34 - 0.0064 * (x - 256) ** 2 * 1.0
        canvas.line(
            f"M{x:.1f} {400 + bend - 2:.1f}L{x - (256 - x) * 0.04:.1f} {413 + bend:.1f}",
            dark,
            0.9,
            0.28,
            clip=canvas.clip(collar),
        )
    for x, lean in ((96, 26), (416, -26)):
        canvas.line(f"M{x} 446C{x + lean} 470 {x + lean * 1.3:.0f} 500 {x + lean} 520", dark, 5, 0.34, 3, clip)
    canvas.line("M60 448C100 432 140 424 176 410", look.light, 4, 0.22, 3, clip)


def _draw_blazer(canvas: Canvas, look: Appearance) -> None:
    dark, light = mix(look.clothes, "#05070c", 0.55), mix(look.clothes, "#ffffff", 0.22)
    top = "M176 404C200 470 312 470 336 404L352 540H160Z"
    paint = canvas.linear(
        (180, 420),
        (340, 500),
        [
            (0, look.undershirt, 1),
            (0.6, mix(look.undershirt, "#8a8794", 0.22), 1),
            (1, mix(look.undershirt, "#5c5a68", 0.42), 1),
        ],
    )
    canvas.path(top, paint)
    canvas.line("M176 404C200 470 312 470 336 404", mix(look.undershirt, "#6a5a58", 0.5), 2.0, 0.5, 0.8)
    left = "M8 540C10 470 36 444 90 426C130 413 160 406 182 392C186 420 206 470 238 540Z"
    right = "M504 540C502 470 476 444 422 426C382 413 352 406 330 392C326 420 306 470 274 540Z"
    for body in (left, right):
        canvas.path(body, _cloth_paint(canvas, look))
    clip_left, clip_right = canvas.clip(left), canvas.clip(right)
    canvas.line("M60 446C100 428 140 420 172 404", look.light, 4, 0.24, 3, clip_left)
    for x, lean, clip in ((98, 24, clip_left), (414, -24, clip_right)):
        canvas.line(f"M{x} 446C{x + lean} 470 {x + lean * 1.2:.0f} 500 {x + lean} 530", dark, 5, 0.4, 3, clip)
    lapels = (
        "M182 391C172 402 158 412 150 424L172 446L158 456L226 540H240C206 470 188 424 182 391Z",
        "M330 391C340 402 354 412 362 424L340 446L354 456L286 540H272C306 470 324 424 330 391Z",
    )
    for index, lapel in enumerate(lapels):
        canvas.line(lapel, dark, 3.0, 0.5, 3.0, (clip_left, clip_right)[index])
        canvas.path(lapel, mix(look.clothes, light, 0.35) if index == 0 else mix(look.clothes, dark, 0.18))
        canvas.line(lapel, mix(look.clothes, light, 0.7) if index == 0 else mix(look.clothes, light, 0.25), 0.9, 0.55)
