"""A load as a picture: how long each answer took to come, over the time of the load."""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

from avatar_client.load.measuring import Point
from avatar_client.load.report import LoadReport

WIDTH, HEIGHT, LEFT, RIGHT, HEAD, FOOT = 960, 420, 70, 30, 72, 40
"""Pixels: of the picture, and of what surrounds the dots."""
COLOURS: Final = {"first audio": "#7c9cbf", "first frame": "#c2410c"}
RADII: Final = {"first audio": 4.0, "first frame": 2.0}
"""So that both can be seen where they are the same."""
TICKS: Final = 6
MOST_DOTS: Final = 4_000
"""Answers that are drawn; of more, each so-manieth."""


def draw(report: LoadReport, path: Path) -> None:
    """Write an SVG: a dot for the first audio and one for the first frame of each answer."""
    points = list(report.book.points)
    points = points[:: max(1, math.ceil(len(points) / MOST_DOTS))]
    latest_s = max([report.seconds, *(point.at_s for point in points)])
    largest_ms = max([1.0, *(ms for point in points for ms in (point.first_audio_ms, point.first_frame_ms) if ms)])
    lines = [*_head(report), *_axes(latest_s, largest_ms), *_dots(points, latest_s, largest_ms), "</svg>"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _head(report: LoadReport) -> list[str]:
    plan, figures = report.plan, report.figures()
    title = f"{plan.sessions} users for {report.seconds:.0f} s: from the end of a question to its answer"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" fill="#1a1a1a">{escape(title)}</text>',
    ]
    for row, (name, colour) in enumerate(COLOURS.items()):
        found = [figures[f"{name.replace(' ', '_')}_ms_{part}"] for part in ("p50", "p95", "p99")]
        words = ", ".join(
            f"{part} {value:,.0f} ms"
            for part, value in zip(("p50", "p95", "p99"), found, strict=True)
            if value is not None
        )
        x = LEFT + 430 * row
        lines.append(f'<circle cx="{x}" cy="42" r="4" fill="{colour}"/>')
        lines.append(f'<text x="{x + 10}" y="46" fill="#1a1a1a">{name}: {words or "none"}</text>')
    return lines


def _axes(latest_s: float, largest_ms: float) -> list[str]:
    lines = []
    for tick in range(TICKS + 1):
        y, x = _y(tick / TICKS), _x(tick / TICKS)
        lines += [
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#dddddd"/>',
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#666666">'
            f"{largest_ms * tick / TICKS:,.0f} ms</text>",
            f'<text x="{x:.1f}" y="{HEIGHT - FOOT + 20}" text-anchor="middle" fill="#666666">'
            f"{latest_s * tick / TICKS:,.0f} s</text>",
        ]
    return lines


def _dots(points: Sequence[Point], latest_s: float, largest_ms: float) -> list[str]:
    lines = []
    for point in points:
        x = _x(point.at_s / latest_s)
        for name, value in (("first audio", point.first_audio_ms), ("first frame", point.first_frame_ms)):
            if value is not None:
                y = _y(value / largest_ms)
                lines.append(
                    f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADII[name]}" fill="{COLOURS[name]}" fill-opacity="0.6"/>'
                )
    return lines


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - FOOT - share * (HEIGHT - HEAD - FOOT)
