"""An event loop whose clock jumps to the next timer as soon as nothing is left to do.

A conversation of thirty seconds runs in milliseconds, and always in the same order. Everything under test reads the
loop's clock (avatar_service/clock.py), so nothing needs to be patched. The loop knows no sockets, no threads and no
child processes: what waits for one would wait for ever, and is reported as a deadlock at once.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START_S = 1_000.0
"""Where the clock begins: not at zero, which code could take for "not set"."""
PASS_S = 1e-11
"""Time that a pass of the loop takes: far below any measure, but a wait for less than a float can tell does end."""
LONGEST_S = 4 * 3600.0
"""Virtual time after which a test is taken to run for ever."""


class Deadlock(BaseException):
    """Every task waits, and nothing will ever wake one."""


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """Its own selector: `select` is asked to sleep until the next timer, and moves the clock there instead."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = START_S
        self._clock_resolution = 1e-9
        self._selector = self

    def time(self) -> float:
        """Virtual seconds."""
        return self._now_s

    def select(self, timeout_s: float | None) -> list[object]:
        """Jump to the next timer; no file descriptor is ever ready."""
        if timeout_s is None:
            waiting = "\n".join(sorted(f"  {task!r}" for task in asyncio.all_tasks(self)))
            raise Deadlock(f"every task waits for ever:\n{waiting}")
        self._now_s += timeout_s + PASS_S
        if self._now_s > START_S + LONGEST_S:
            raise Deadlock(f"still running after {LONGEST_S:g} virtual seconds")
        return []

    def _process_events(self, event_list: list[object]) -> None:
        """Events of file descriptors, of which there are none."""

    def _write_to_self(self) -> None:
        """Wake the selector from another thread; there is none."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
