"""The one clock of the service: that of the running event loop, which tests can own. And the time of day, by which
credentials begin and end."""

import asyncio
import time
from collections.abc import Callable


def now() -> float:
    """Seconds on the running loop's clock; only differences mean anything."""
    return asyncio.get_running_loop().time()


def reader() -> Callable[[], float]:
    """`now` of the loop that runs, for whoever asks many times a second: to find that loop takes longer than to read
    its clock."""
    return asyncio.get_running_loop().time


def steady() -> float:
    """Seconds that go on also while the event loop does not: for a thread that watches it."""
    return time.monotonic()


def wall() -> float:
    """Seconds since 1970; it may jump when the machine's clock is set, so no wait is measured by it."""
    return time.time()
