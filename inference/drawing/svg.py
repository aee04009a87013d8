"""A small SVG writer: shapes in paint order, with gradients, clips and blurs defined as they are used."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import erf

Point = tuple[float, float]
Stop = tuple[float, str, float]  # offset 0..1, colour, opacity


@dataclass(slots=True)
class Canvas:
    """Collects definitions and shapes of one picture; coordinates are frame pixels."""

    definitions: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    _clip: str = ""  # the clip whose group is open

    def _define(self, text: str) -> str:
        """Store a definition whose id is ``{id}`` in the text and return a reference to it."""
        name = f"d{len(self.definitions)}"
        self.definitions.append(text.replace("{id}", name))
        return f"url(#{name})"

    def linear(self, start: Point, end: Point, stops: Sequence[Stop]) -> str:
        """A linear gradient between two points, as a paint."""
        (x1, y1), (x2, y2) = start, end
        ends = f'x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}"'
        units = 'gradientUnits="userSpaceOnUse"'
        return self._define(f'<linearGradient id="{{id}}" {units} {ends}>{_stops(stops)}</linearGradient>')

    def radial(self, centre: Point, radius: float, stops: Sequence[Stop], squeeze: float = 1.0) -> str:
        """A radial gradient as a paint; ``squeeze`` scales its height."""
        x, y = centre
        transform = f'gradientTransform="translate({x:.2f} {y:.2f}) scale(1 {squeeze:.3f})"'
        circle = f'cx="0" cy="0" r="{radius:.2f}" gradientUnits="userSpaceOnUse"'
        return self._define(f'<radialGradient id="{{id}}" {circle} {transform}>{_stops(stops)}</radialGradient>')

    def clip(self, path: str) -> str:
        """A clip to the inside of a path."""
        return self._define(f'<clipPath id="{{id}}"><path d="{path}"/></clipPath>')

    def path(self, data: str, fill: str = "none", opacity: float = 1.0, clip: str = "") -> None:
        """A filled path."""
        self._shape(f'<path d="{data}" fill="{fill}"', opacity, clip)

    def line(
        self, data: str, stroke: str, width: float, opacity: float = 1.0, blur: float = 0.0, clip: str = ""
    ) -> None:
        """A stroked path with round ends, its edge softened as by a Gaussian of ``blur`` pixels."""
        for layer_width, layer_opacity in _soft_layers(width, blur, opacity):
            style = f'stroke="{stroke}" stroke-width="{layer_width:.2f}" stroke-linecap="round" stroke-linejoin="round"'
            self._shape(f'<path d="{data}" fill="none" {style}', layer_opacity, clip)

    def ellipse(
        self,
        centre: Point,
        radii: Point,
        fill: str,
        opacity: float = 1.0,
        blur: float = 0.0,
        clip: str = "",
        turn: float = 0.0,
    ) -> None:
        """A filled ellipse, turned by ``turn`` degrees; a plain colour's edge is softened as by a Gaussian."""
        (x, y), (rx, ry) = centre, radii
        rotation = f' transform="rotate({turn:.2f} {x:.2f} {y:.2f})"' if turn else ""
        if blur and fill.startswith("#"):
            rx, ry = rx + 2.4 * blur, ry + 2.4 * blur
            fill, opacity = self._soft_paint(centre, (rx, ry), blur, fill, opacity), 1.0
        self._shape(
            f'<ellipse cx="{x:.2f}" cy="{y:.2f}" rx="{rx:.2f}" ry="{ry:.2f}" fill="{fill}"{rotation}', opacity, clip
        )

    def _soft_paint(self, centre: Point, radii: Point, blur: float, colour: str, opacity: float) -> str:
        """A radial gradient with the profile of a blurred ellipse: thousands of times cheaper than a filter."""
        rx, ry = radii
        edges = (rx - 2.4 * blur, ry - 2.4 * blur)
        peak = opacity * erf(edges[0] / (blur * 1.414)) * erf(edges[1] / (blur * 1.414))
        mean, edge = (rx * ry) ** 0.5, max(0.05, (max(edges[0], 0.05) * max(edges[1], 0.05)) ** 0.5)
        top = _soft_edge(0.0, edge, blur)
        end = _soft_edge(mean, edge, blur)
        stops = [
            (i / 10, colour, peak * max(0.0, _soft_edge(mean * i / 10, edge, blur) - end) / (top - end))
            for i in range(11)
        ]
        return self.radial(centre, rx, stops, ry / rx)

    def _shape(self, start: str, opacity: float, clip: str) -> None:
        """Add a shape. Shapes in a row under one clip share its group: each clip costs a layer of the picture."""
        if opacity <= 0.002:  # half a step of 8 bits
            return
        if clip != self._clip:
            self._close_clip()
            if clip:
                # A clip on the shape itself would turn with the shape's own transform.
                self.shapes.append(f'<g clip-path="{clip}">')
                self._clip = clip
        # Paint opacity, unlike `opacity`, needs no layer of its own; a shape has either a fill or a stroke.
        self.shapes.append(f'{start} fill-opacity="{opacity:.4f}" stroke-opacity="{opacity:.4f}"/>')

    def _close_clip(self) -> None:
        if self._clip:
            self.shapes.append("</g>")
            self._clip = ""

    def open_group(self, dx: float, dy: float) -> None:
        """Move everything until ``close_group`` by (dx, dy)."""
        self._close_clip()
        self.shapes.append(f'<g transform="translate({dx:.3f} {dy:.3f})">')

    def close_group(self) -> None:
        """End the last open group."""
        self._close_clip()
        self.shapes.append("</g>")

    def open_blur(self, blur: float) -> None:
        """Blur everything until ``close_blur`` as by a Gaussian of ``blur`` pixels; slow, for what is drawn once."""
        self._close_clip()
        area = 'x="-200" y="-200" width="912" height="912" filterUnits="userSpaceOnUse"'
        name = self._define(f'<filter id="{{id}}" {area}><feGaussianBlur stdDeviation="{blur:.2f}"/></filter>')
        self.shapes.append(f'<g filter="{name}">')

    def close_blur(self) -> None:
        """End the last open blur."""
        self.close_group()

    def text(self, box: tuple[int, int, int, int], scale: int) -> str:
        """The SVG document that shows ``box`` = (x1, y1, x2, y2) at ``scale`` pixels a frame pixel."""
        x1, y1, x2, y2 = box
        size = f'width="{(x2 - x1) * scale}" height="{(y2 - y1) * scale}" viewBox="{x1} {y1} {x2 - x1} {y2 - y1}"'
        self._close_clip()
        body = "".join(self.shapes)
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><defs>{"".join(self.definitions)}</defs>{body}</svg>'


def _soft_edge(distance: float, edge: float, blur: float) -> float:
    """Opacity of a blurred edge at a distance from the shape's middle."""
    return 0.5 * (1 - erf((distance - edge) / (blur * 1.414)))


def _soft_layers(width: float, blur: float, opacity: float) -> list[tuple[float, float]]:
    """Widths and opacities of nested strokes that together have the profile of one blurred stroke."""
    if blur <= 0.3:  # below what antialiasing shows
        return [(width, opacity)]
    count = 4 if blur < 1.5 else 7
    reach, half, covered = width / 2 + 2.2 * blur, width / 2, 0.0
    layers = []
    for index in range(count):
        distance = reach * (1 - (index + 0.5) / count)
        target = opacity * (_soft_edge(distance, half, blur) - _soft_edge(distance, -half, blur))
        if target > covered:
            layers.append((2 * reach * (1 - index / count), 1 - (1 - target) / (1 - covered)))
            covered = target
    return layers


def _stops(stops: Sequence[Stop]) -> str:
    return "".join(
        f'<stop offset="{at:.3f}" stop-color="{colour}" stop-opacity="{opacity:.3f}"/>' for at, colour, opacity in stops
    )


def curve(points: Sequence[Point], closed: bool = False) -> str:
    """A smooth path of cubic Beziers through the points (Catmull-Rom tangents)."""
    before, after = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    padded = [*before, *points, *after]
    parts = [f"M{padded[1][0]:.2f} {padded[1][1]:.2f}"]
    parts += [_segment(*padded[i : i + 4]) for i in range(len(padded) - 3)]
    return "".join(parts) + ("Z" if closed else "")


def _segment(before: Point, start: Point, end: Point, after: Point) -> str:
    x1, y1 = start[0] + (end[0] - before[0]) / 6, start[1] + (end[1] - before[1]) / 6
    x2, y2 = end[0] - (after[0] - start[0]) / 6, end[1] - (after[1] - start[1]) / 6
    return f"C{x1:.2f} {y1:.2f} {x2:.2f} {y2:.2f} {end[0]:.2f} {end[1]:.2f}"


def outline(upper: Sequence[Point], lower: Sequence[Point]) -> str:
    """The closed path along ``upper`` and back along ``lower``; both run left to right, each smooth in itself."""
    forth, back = curve(upper), curve(list(reversed(lower)))
    return forth + "L" + back[1:] + "Z"


def mirror(points: Sequence[Point], centre: float) -> list[Point]:
    """The points mirrored at the vertical line x = ``centre``, in reversed order."""
    return [(2 * centre - x, y) for x, y in reversed(points)]


def mix(first: str, second: str, share: float) -> str:
    """The colour ``share`` of the way from the first to the second; colours are ``#rrggbb``."""
    a, b = rgb(first), rgb(second)
    return "#" + "".join(f"{round(p + (q - p) * share):02x}" for p, q in zip(a, b, strict=True))


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of ``#rrggbb``, 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
