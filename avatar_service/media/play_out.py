"""Where the client is in a turn's media, as well as the server can know it."""

import asyncio
import contextlib
import math

from avatar_service import clock

EXTRAPOLATED_S = 0.5
"""How far a report is carried on by the clock: two and a half times the 200 ms after which the next one is due. A
client that says nothing more may have stopped, so from there on the position stands."""
UNREPORTED_S = 0.2
"""By how much later than they are sent media are heard at a client that does not report: its network and its buffer."""
SLACK_S = 1e-6
"""Shorter times are rounding errors of the clock."""
TIMER_S = 1e-3
"""What is due within this time is due: timers of uvloop have whole milliseconds and end up to half of one too early.
Whoever waited for the rest of it would be woken again at once, seven times a frame."""


class PlayOut:
    """The play-out position of one turn, in seconds from its first audio sample.

    Without reports it runs with the clock from the first media on and stands still where media run out: offsets stay
    contiguous, so a late sentence moves the clock, never the audio. A report replaces the estimate; the last one wins,
    also where it lies before what the one before was carried on to. An unpaced turn is played whenever its client
    likes: its position is known from reports alone.
    """

    def __init__(self, *, unpaced: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = clock.reader()
        self._unpaced = unpaced
        self._anchor_position_s = 0.0
        self._anchor_time_s = 0.0
        self._anchor_heard_s = 0.0
        self._sent_s = 0.0
        self._furthest_s = 0.0 if unpaced else math.inf
        """Where the position stands until the next report; endless while there was none."""
        self._is_over = self._held_up = False
        self._stopped = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        """Who waits for the next report."""
        self._reported_s = -math.inf
        self.is_reported = False
        """Whether the client has told its position at least once."""
        self.moved_at_s = -math.inf
        """When a report last told of a position beyond all before it, on the loop's clock."""
        self.stalls = 0
        self.stalled_s = 0.0

    @property
    def sent_s(self) -> float:
        """Seconds of media sent."""
        return self._sent_s

    @property
    def position_s(self) -> float:
        """Seconds of media played, at most what was sent."""
        if not self._sent_s:
            return 0.0
        return min(self._anchor_position_s + self._now() - self._anchor_time_s, self._furthest_s, self._sent_s)

    @property
    def heard_s(self) -> float:
        """Seconds of media whose words count as heard: the position as reported, or else an estimate on the safe side.

        Without reports that is the time since the first media less what a network and a buffer take.
        """
        if self.is_reported or self._unpaced:
            return self.position_s
        if self._is_over:
            return self._sent_s
        return min(max(self._running_s - UNREPORTED_S, self._anchor_heard_s), self._sent_s)

    @property
    def lead_s(self) -> float:
        """How far sent media is ahead of play-out."""
        return self._sent_s - self.position_s

    @property
    def stands(self) -> bool:
        """Whether only another report will move the position."""
        return self.is_reported and self._running_s >= self._furthest_s

    def is_over(self, until_s: float, *, in_s: float = 0.0) -> bool:
        """Whether what is shown up to `until_s` is over in so many seconds; of an unpaced turn nothing ever is."""
        return not self._unpaced and self.position_s + (0.0 if self.stands else in_s) >= until_s

    def reaches_at(self, position_s: float) -> float | None:
        """The moment on the loop's clock at which play-out comes to a position; None for an unpaced turn."""
        return None if self._unpaced else self._now() + position_s - self.position_s

    def sent(self, until_s: float) -> None:
        """Media up to `until_s` is on its way; a clock that had run out of media starts again from here."""
        if self.lead_s <= 0 and not self._unpaced:
            dry_s = self._running_s - self._sent_s
            if self._sent_s and dry_s > SLACK_S and not self._held_up:
                self.stalls += 1
                self.stalled_s += dry_s
            self._held_up = False
            self._anchor(self._sent_s)
        self._sent_s = max(until_s, self._sent_s)

    def resume(self) -> None:
        """What ran out meanwhile waited for the client, not for more media: the clock goes on, and nothing starved."""
        if self.lead_s <= 0 and not self._unpaced:
            self._held_up = True
            self._anchor(self._sent_s)

    def reported(self, position_s: float, stopped: bool = False) -> None:
        """The client says it has played up to `position_s`; what was not sent cannot have been played.

        With `stopped` it plays no more of the turn: there the position stays, whatever is reported afterwards. A report
        before any media says nothing.
        """
        if self._stopped.is_set() or not self._sent_s:
            return
        position_s = min(max(position_s, 0.0), self._sent_s)
        self.is_reported = True
        if position_s > self._reported_s:
            self._reported_s, self.moved_at_s = position_s, self._now()
        self._anchor(position_s)
        self._furthest_s = position_s if stopped or self._unpaced else position_s + EXTRAPOLATED_S
        if stopped:
            self._stopped.set()
        for waiting in self._waiting:
            _wake(waiting)

    def finish(self) -> None:
        """Play-out is over: of a client that does not report, everything counts as heard."""
        self._is_over = not self._unpaced

    @property
    def is_stopped(self) -> bool:
        """Whether the client has told that it plays no more of the turn."""
        return self._stopped.is_set()

    async def next_report(self, within_s: float) -> None:
        """Wait for the client's next report, no longer than `within_s`, which may be endless.

        A turn waits so for every piece of its media, which is why it is no `asyncio.timeout`.
        """
        waiting: asyncio.Future[None] = self._loop.create_future()
        timer = None if math.isinf(within_s) else self._loop.call_later(within_s, _wake, waiting)
        self._waiting.append(waiting)
        try:
            await waiting
        finally:
            self._waiting.remove(waiting)
            if timer:
                timer.cancel()

    async def stopped(self, within_s: float) -> None:
        """Wait until the client has told where it stopped, no longer than `within_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._stopped.wait()

    @property
    def _running_s(self) -> float:
        """The position if media never ran out and the clock were right."""
        return self._anchor_position_s + self._now() - self._anchor_time_s if self._sent_s else 0.0

    def _anchor(self, position_s: float) -> None:
        self._anchor_heard_s = self.heard_s
        self._anchor_position_s = position_s
        self._anchor_time_s = self._now()


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
