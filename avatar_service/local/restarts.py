"""How often something that dies is started again."""

import math

from avatar_service import clock

WAITS_S = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Waits before the first start after a death, the second, and so on, in seconds. Then it is given up."""
STABLE_S = 60.0
"""What has run for so long has come back for good: its next death counts as the first."""


class Restarts:
    """Counts the deaths that come soon after a start."""

    def __init__(self) -> None:
        self._started_at_s = clock.now()
        self._count = 0

    def died(self) -> None:
        """It runs no more. Again without a start between says nothing."""
        if clock.now() - self._started_at_s >= STABLE_S:
            self._count = 0
        self._started_at_s = math.inf

    def next_wait_s(self) -> float | None:
        """How long to wait before the next start; None if there shall be none."""
        self._count += 1
        return WAITS_S[self._count - 1] if self._count <= len(WAITS_S) else None

    def started(self) -> None:
        """It runs again."""
        self._started_at_s = clock.now()
