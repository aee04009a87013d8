"""A waterfall as a picture: what follows what in a turn, and what waits for what."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, LEFT, RIGHT, ROW, HEAD = 960, 210, 30, 26, 56
"""Pixels: of the picture, of its names, of its margin, of a row, of what stands above the rows."""
TICK_MS = 200


@dataclass(frozen=True, slots=True)
class Bar:
    """One part, in milliseconds from the user's last sound; `own` if it is the service's."""

    name: str
    begin_ms: float
    end_ms: float
    own: bool = False


def draw(title: str, bars: Sequence[Bar], path: Path) -> None:
    """Write the bars as an SVG, one below the other."""
    longest_ms = max(bar.end_ms for bar in bars)
    scale = (WIDTH - LEFT - RIGHT) / longest_ms
    height = HEAD + ROW * len(bars) + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" fill="#1a1a1a">{escape(title)}</text>',
    ]
    for tick in range(0, int(longest_ms) + 1, TICK_MS):
        x = LEFT + tick * scale
        lines.append(f'<line x1="{x:.1f}" y1="{HEAD - 6}" x2="{x:.1f}" y2="{height - 12}" stroke="#dddddd"/>')
        lines.append(f'<text x="{x:.1f}" y="{HEAD - 12}" text-anchor="middle" fill="#666666">{tick} ms</text>')
    for row, bar in enumerate(bars):
        y, x, width = HEAD + ROW * row, LEFT + bar.begin_ms * scale, max(1.0, (bar.end_ms - bar.begin_ms) * scale)
        colour = "#c2410c" if bar.own else "#7c9cbf"
        took = f"{bar.end_ms - bar.begin_ms:.0f}"
        at, anchor = (x + width + 6, "start") if x + width < WIDTH - RIGHT - 40 else (x - 6, "end")
        lines += [
            f'<text x="{LEFT - 10}" y="{y + 16}" text-anchor="end" fill="#1a1a1a">{escape(bar.name)}</text>',
            f'<rect x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{ROW - 8}" rx="2" fill="{colour}"/>',
            f'<text x="{at:.1f}" y="{y + 16}" text-anchor="{anchor}" fill="#666666">{took}</text>',
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, "</svg>"]) + "\n", encoding="utf-8")
