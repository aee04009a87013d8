"""Threads that are none: work takes virtual time."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class FakeWorkers:
    """Each piece of work takes `work_s`. One that is cancelled is done all the same, as threads do it."""

    def __init__(self, work_s: float = 0.001) -> None:
        self._work_s = work_s

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises."""
        try:
            await asyncio.sleep(self._work_s)
        except asyncio.CancelledError:
            work()
            raise
        return work()
