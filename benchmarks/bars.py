"""Numbers beside each other, as a picture."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

WIDTH, LEFT, RIGHT, ROW, HEAD = 760, 230, 70, 30, 44
"""Pixels: of the picture, of its names, of its margin, of a row, of what stands above the rows."""


def draw_bars(title: str, bars: Sequence[tuple[str, float]], path: Path) -> None:
    """Write names and their numbers as an SVG, one bar below the other."""
    largest = max((number for _, number in bars), default=1.0)
    height = HEAD + ROW * len(bars) + 12
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="15" fill="#1a1a1a">{escape(title)}</text>',
    ]
    for row, (name, number) in enumerate(bars):
        y, width = HEAD + ROW * row, (WIDTH - LEFT - RIGHT) * number / largest
        lines += [
            f'<text x="{LEFT - 10}" y="{y + 18}" text-anchor="end" fill="#1a1a1a">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y + 4}" width="{width:.1f}" height="{ROW - 9}" rx="2" fill="#7c9cbf"/>',
            f'<text x="{LEFT + width + 8:.1f}" y="{y + 18}" fill="#666666">{number:.0f}</text>',
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, "</svg>"]) + "\n", encoding="utf-8")
