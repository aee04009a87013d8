"""A load's figures as a table for people."""

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from avatar_client.load.distribution import PERCENTILES
from avatar_client.load.report import DRIVER_LAG_MS, TIMES, LoadReport

GROUPS: Final = {
    "sessions": ("begun", "ended"),
    "turns": ("begun", "completed", "interrupted", "skipped", "failed", "degraded"),
    "users": ("questions_unanswered", "barge_ins", "slow_readings"),
    "streams": ("resumes", "connections_lost"),
    "frames": ("frames", "held_frames", "shed_frames", "late_frames"),
    "after an interruption": ("stale_media", "stale_media_ms_max"),
}
"""Counts that stand in one line, without the line's own name before them."""


def table(report: LoadReport) -> RenderableType:
    """The whole report."""
    parts: list[RenderableType] = [_times(report), "", _counts(report)]
    if report.driver.is_too_slow:
        words = (
            f"The driver itself was more than {DRIVER_LAG_MS:.0f} ms late in over 1 % of its looks: these times are "
            "not those of the service alone. Ask for fewer sessions, or run several drivers."
        )
        parts += ["", Text(words, style="bold yellow")]
    return Group(*parts)


def _times(report: LoadReport) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("milliseconds")
    for name in ("count", *(f"p{percent}" for percent in PERCENTILES), "max"):
        grid.add_column(name, justify="right")
    for name, words in TIMES.items():
        times = report.times(name)
        if times.count:
            cells = [times.percentile(percent) for percent in PERCENTILES]
            grid.add_row(words, f"{times.count:,}", *(_number(cell) for cell in (*cells, times.largest)))
    return grid


def _counts(report: LoadReport) -> Table:
    figures, book = report.figures(), report.book
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for group, names in GROUPS.items():
        found = [(name, figures.get(name, figures.get(f"{group}_{name}"))) for name in names]
        words = ", ".join(f"{_number(value)} {name.replace('_', ' ')}" for name, value in found if value is not None)
        grid.add_row(group, words)
    if (share := figures["long_gap_share"]) is not None:
        grid.add_row("gaps above 1.5 frames", f"{share:.2%}")
    grid.add_row("media received", f"{book.counts['media_bytes'] / 1e6:,.1f} MB in {report.seconds:.1f} s")
    for name, counted in (("errors", book.errors), ("notices", book.notices), ("degraded by", book.degraded)):
        words = ", ".join(f"{count} {what}" for what, count in counted.most_common())
        if words or name == "errors":
            grid.add_row(name, Text(words or "none", style="red" if words and name == "errors" else ""))
    grid.add_row("the driver took", f"{report.driver.cpu:.0%} of a core")
    return grid


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
