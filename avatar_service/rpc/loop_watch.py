"""Whether the event loop moves, as a thread of its own sees it: a loop that is stuck can tell nobody."""

import asyncio
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from avatar_service import clock
from avatar_service.background import running
from avatar_service.log import get_logger

log = get_logger(__name__)

STUCK_S = 10.0
"""A loop that has not moved for so long is stuck. Nothing of ours holds it for a tenth of a second; a machine that
starves the process, or writes it out to disk, does so for seconds."""
BEAT_S = 0.5
"""How often the loop shows that it moves, and the thread looks."""
MISSED = 4
"""Looks that a thread misses only if the whole process stood."""
FRAMES = 8
"""Innermost calls that the log tells of a loop that is stuck."""


class Standstill:
    """For how long the loop has stood still while whoever looks at it did not: a process that was stopped, or a machine
    that slept, says nothing of its loop."""

    def __init__(self, now_s: float) -> None:
        self._looked_s = self._since_s = now_s

    def lasts_s(self, now_s: float, beat_s: float) -> float:
        """Look: the loop showed at `beat_s` that it moves."""
        if now_s - self._looked_s > MISSED * BEAT_S:
            self._since_s = now_s
        self._looked_s = now_s
        return now_s - max(beat_s, self._since_s)


class LoopWatch:
    """Tells when the loop that made it gets stuck, and when it moves again."""

    def __init__(self, tell: Callable[[bool], None], stuck_s: float = STUCK_S) -> None:
        """`tell` is called from another thread: False once the loop is stuck, True once it moves again."""
        self._tell = tell
        self._stuck_s = stuck_s
        self._beat_s = clock.steady()
        self._loop_thread = threading.get_ident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop-watch", daemon=True)

    async def run(self) -> None:
        """Show that the loop moves, until cancelled."""
        self._thread.start()
        try:
            while True:
                self._beat_s = clock.steady()
                await asyncio.sleep(BEAT_S)
        finally:
            self._over.set()
            self._thread.join()

    def _watch(self) -> None:
        is_moving, standstill = True, Standstill(clock.steady())
        while not self._over.wait(BEAT_S):
            still_s = standstill.lasts_s(clock.steady(), self._beat_s)
            if is_moving is (still_s < self._stuck_s):
                continue
            is_moving = not is_moving
            if is_moving:
                log.warning("event_loop_moves_again")
            else:
                log.error("event_loop_stuck", for_s=round(still_s, 1), within=self._calls())
            self._tell(is_moving)

    def _calls(self) -> str:
        """What the loop's thread does, innermost call last: no values, which may be what somebody said."""
        frame = sys._current_frames().get(self._loop_thread)
        calls = traceback.extract_stack(frame)[-FRAMES:] if frame else []
        return " > ".join(f"{call.filename.rpartition('/')[2]}:{call.lineno} {call.name}" for call in calls)


@asynccontextmanager
async def loop_watched(tell: Callable[[bool], None], stuck_s: float = STUCK_S) -> AsyncIterator[None]:
    """Watch the running loop during the block; see LoopWatch."""
    async with running(LoopWatch(tell, stuck_s).run()):
        yield
