"""How long a stream lives: its age, its idle time, and a process that stops."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from avatar_service import clock
from avatar_service.channel import Sender
from avatar_service.errors import SessionAgeReached, SessionIdle
from avatar_service.events import Event, GoAway, GoAwayReason
from avatar_service.settings import SessionSettings

BUSY_CHECK_S = 1.0
"""How often a session that speaks is asked whether it still does: idle time counts from its end."""


class Lifetime:
    """Tells a client in time that its stream will end, and ends it. Any message of the client's is life."""

    def __init__(
        self,
        settings: SessionSettings,
        *,
        idle_s: float,
        credential_s: float | None = None,
        token: Callable[[], str],
        is_busy: Callable[[], bool],
        out: Sender[Event],
    ) -> None:
        """The stream ends at the age of the settings, or once it was idle for `idle_s`. Whoever ends it once the
        caller's credential has lived for `credential_s` more leaves the announcement to it; None: it does not end."""
        self._idle_s = idle_s
        self._token = token
        self._is_busy = is_busy
        self._out = out
        began_s = clock.now()
        self._ends_s = began_s + settings.age_s
        ends = [(self._ends_s, GoAwayReason.SESSION_AGE)]
        if credential_s is not None:
            ends.append((began_s + credential_s, GoAwayReason.CREDENTIAL_EXPIRING))
        self._to_tell = [(max(began_s, end_s - settings.go_away_s), end_s, reason) for end_s, reason in ends]
        """Ends that are still to be told: from when on, of when, and why."""
        self._alive_s = clock.now()
        self._drain_s: float | None = None
        self._draining = asyncio.Event()
        self.is_leaving = False
        """Whether the client was told to leave: one that half-closes then wants to go on elsewhere."""

    def touch(self, now_s: float) -> None:
        """Something came from the client at this moment."""
        self._alive_s = now_s

    def drain(self, time_left_s: float) -> None:
        """The process will end the stream in so many seconds: tell the client."""
        self._drain_s = time_left_s
        self._draining.set()

    async def run(self) -> None:
        """Watch until cancelled. Raises SessionAgeReached or SessionIdle."""
        while True:
            await self._pause()
            if self._draining.is_set() and self._drain_s is not None:
                await self._go_away(self._drain_s, GoAwayReason.DRAINING)
                self._drain_s = None
            if self._is_busy():
                self.touch(clock.now())
            if clock.now() >= self._ends_s:
                raise SessionAgeReached("the stream has reached its greatest age; resume the session on a new one")
            if clock.now() >= self._alive_s + self._idle_s:
                raise SessionIdle(f"nothing came for {self._idle_s:g} s; resume the session on a new stream")
            for due in [due for due in self._to_tell if clock.now() >= due[0]]:
                self._to_tell.remove(due)
                await self._go_away(due[1] - clock.now(), due[2])

    async def _pause(self) -> None:
        """Wait until something may be due, or the process stops."""
        due_s = min(self._alive_s + self._idle_s, self._ends_s, *(told_s for told_s, _, _ in self._to_tell))
        if self._is_busy():
            due_s = min(due_s, clock.now() + BUSY_CHECK_S)
        if self._draining.is_set() and self._drain_s is None:  # told already
            await asyncio.sleep(due_s - clock.now())
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due_s):
                await self._draining.wait()

    async def _go_away(self, time_left_s: float, reason: GoAwayReason) -> None:
        self.is_leaving = True
        await self._out.send(GoAway(max(0.0, time_left_s), reason, self._token()))
