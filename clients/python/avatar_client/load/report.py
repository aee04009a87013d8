"""What a load showed, as figures by name: the same in JSON, in the table and for the limits that a caller sets."""

import re
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any, Final

from avatar_client.load.distribution import PERCENTILES, Distribution
from avatar_client.load.measuring import Book
from avatar_client.load.plan import BadPlan, Plan

DRIVER_LAG_MS: Final = 20.0
"""99th percentile of the driver's own lag above which its figures say more about the driver than about the service."""
TIMES: Final = {
    "session_start_ms": "session begun",
    "first_audio_ms": "first audio after the question",
    "first_frame_ms": "first frame after the question",
    "barge_in_ms": "barge-in until interrupted",
    "frame_gap_ms": "gap between frames",
    "frame_after_audio_ms": "frame after its audio",
    "driver_lag_ms": "the driver's own lag",
}
"""What is timed, by its name in the figures, and in words."""
COUNTS: Final = (
    "sessions_begun",
    "sessions_ended",
    "turns_begun",
    "turns_completed",
    "turns_interrupted",
    "turns_skipped",
    "turns_failed",
    "turns_degraded",
    "questions_unanswered",
    "barge_ins",
    "slow_readings",
    "resumes",
    "connections_lost",
    "frames",
    "idle_frames",
    "audio_chunks",
    "media_bytes",
    "held_frames",
    "shed_frames",
    "late_frames",
    "stale_media",
    "starved_ms",
)
"""Counts that a report always has, 0 where nothing was counted."""
NAMES: Final = frozenset(
    [*COUNTS, "errors", "seconds", "long_gap_share", "stale_media_ms_max", "driver_cpu"]
    + [f"{name}_{part}" for name in TIMES for part in (*(f"p{percent}" for percent in PERCENTILES), "max")]
)
"""Every figure."""
_LIMIT: Final = re.compile(r"\s*([a-z0-9_]+)\s*([<>])\s*(-?[0-9.]+)\s*")


@dataclass(frozen=True, slots=True)
class Driver:
    """How the driver itself did: its event loop's lag, and the share of one core that it took."""

    driver_lag_ms: Distribution
    cpu: float

    @property
    def is_too_slow(self) -> bool:
        """Whether what was measured may be the driver's own lateness."""
        return (self.driver_lag_ms.percentile(99) or 0.0) > DRIVER_LAG_MS


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load showed; `seconds` is how long it took."""

    plan: Plan
    book: Book
    seconds: float
    driver: Driver

    def times(self, name: str) -> Distribution:
        """The distribution behind a name of TIMES."""
        distribution: Distribution = getattr(self.driver if name == "driver_lag_ms" else self.book, name)
        return distribution

    def figures(self) -> dict[str, float | None]:
        """Every figure by its name; None where there was nothing to measure."""
        book = self.book
        gaps = book.frame_gap_ms.count
        figures: dict[str, float | None] = {name: book.counts[name] for name in COUNTS}
        figures["errors"] = book.errors.total()
        figures["seconds"] = round(self.seconds, 3)
        for name in TIMES:
            figures |= self.times(name).figures(name)
        figures["long_gap_share"] = round(book.counts["long_gaps"] / gaps, 6) if gaps else None
        figures["stale_media_ms_max"] = None if book.stale_ms is None else round(book.stale_ms, 3)
        figures["driver_cpu"] = round(self.driver.cpu, 3)
        return figures

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {
            "plan": asdict(self.plan),
            "figures": self.figures(),
            "errors": dict(self.book.errors.most_common()),
            "notices": dict(self.book.notices.most_common()),
            "degraded": dict(self.book.degraded.most_common()),
            "driver_too_slow": self.driver.is_too_slow,
        }


@dataclass(frozen=True, slots=True)
class FailIf:
    """A limit on a figure, such as `first_frame_ms_p95>800`."""

    figure: str
    is_upper: bool
    limit: float

    @classmethod
    def of(cls, text: str) -> "FailIf":
        """The limit that `text` says. Raises BadPlan."""
        if not (found := _LIMIT.fullmatch(text)):
            raise BadPlan(f"{text!r} is no limit; give FIGURE>NUMBER or FIGURE<NUMBER, such as first_frame_ms_p95>800")
        if found[1] not in NAMES:
            like = ", ".join(get_close_matches(found[1], sorted(NAMES), n=3)) or "those of the report as JSON"
            raise BadPlan(f"{text!r}: there is no figure {found[1]}; there are {like}")
        try:
            return cls(found[1], found[2] == ">", float(found[3]))
        except ValueError:
            raise BadPlan(f"{text!r}: {found[3]} is no number") from None

    def crossed(self, figures: dict[str, float | None]) -> str:
        """Why the load failed, in words; empty if it did not. A figure that could not be measured fails it too."""
        value = figures.get(self.figure)
        if value is None:
            return f"{self.figure} was not measured"
        if value > self.limit if self.is_upper else value < self.limit:
            return f"{self.figure} is {value:g}, {'above' if self.is_upper else 'below'} {self.limit:g}"
        return ""
