"""Percentiles of any number of values in bounded memory."""

import math
from collections import Counter
from typing import Final

PERCENTILES: Final = (50, 90, 95, 99)
"""Those that a report has."""


class Distribution:
    """Values in milliseconds, kept to three significant digits; the largest is kept as it is.

    There are at most 1,800 different values to each power of ten, so that hours of frames take no more memory than
    minutes of them.
    """

    def __init__(self) -> None:
        self._counts: Counter[float] = Counter()
        self.count = 0
        self.largest = -math.inf

    def add(self, value_ms: float) -> None:
        """Take in a value."""
        self._counts[float(f"{value_ms:.3g}")] += 1
        self.count += 1
        self.largest = max(self.largest, value_ms)

    def percentile(self, percent: float) -> float | None:
        """The smallest value that so many percent of the values do not exceed; None if there are no values."""
        rank = math.ceil(self.count * percent / 100)
        for value, count in sorted(self._counts.items()):
            rank -= count
            if rank <= 0:
                return min(value, round(self.largest, 3))
        return None

    def figures(self, name: str) -> dict[str, float | None]:
        """The percentiles and the largest value under the names `NAME_p50` to `NAME_max`; None where nothing came."""
        figures = {f"{name}_p{percent}": self.percentile(percent) for percent in PERCENTILES}
        return figures | {f"{name}_max": round(self.largest, 3) if self.count else None}
