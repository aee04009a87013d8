"""Room for sessions: take one in, or refuse it at once."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from avatar_service.errors import OverloadError

RETRY_AFTER_S = 5.0
"""When a refused client should ask again: about the time of a turn."""


class Admission:
    """At most `limit` sessions at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._draining = False
        self._told: list[Callable[[], None]] = []
        self.sessions = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def drain(self) -> None:
        """Take in no more, and tell those that asked to be told."""
        self._draining = True
        for tell in self._told:
            tell()

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        """While the block runs, call `tell` when nothing more is taken in; at once if that is so already."""
        self._told.append(tell)
        try:
            if self._draining:
                tell()
            yield
        finally:
            self._told.remove(tell)

    async def emptied(self) -> None:
        """Wait until no place is held."""
        await self._empty.wait()

    def require_open(self) -> None:
        """Raise OverloadError if nothing more is taken in."""
        if self._draining:
            raise OverloadError("this server is stopping; call again", reason="DRAINING", retry_after_s=RETRY_AFTER_S)

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold a place while the block runs. Raises OverloadError if there is none."""
        self.require_open()
        if self.sessions >= self._limit:
            raise OverloadError(
                f"all {self._limit} sessions are taken", reason="SESSIONS_EXHAUSTED", retry_after_s=RETRY_AFTER_S
            )
        self.sessions += 1
        self._empty.clear()
        try:
            yield
        finally:
            self.sessions -= 1
            if not self.sessions:
                self._empty.set()
