"""Who is told when an engine is tried again, or replaced by another, while something is done for them.

A turn is watched from outside of its stages: what engines do to come to an answer is told to whoever `watched` in the
task that asks, or in one above it.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from avatar_service.errors import EngineError


class Watcher(Protocol):
    """Is told of what becomes of requests to engines."""

    async def retrying(self, error: EngineError) -> None:
        """An attempt failed before its first output, and another one follows."""

    async def falling_back(self, error: EngineError, engine: str) -> None:
        """An engine has failed for good before its first output, and `engine` is asked instead."""


class LateWatcher:
    """A watcher that keeps what it is told until somebody `comes` to whom it matters, and passes everything on then."""

    def __init__(self) -> None:
        self._watcher: Watcher | None = None
        self._missed: list[Callable[[Watcher], Awaitable[None]]] = []

    async def comes(self, watcher: Watcher) -> None:
        """Tell `watcher` what has been missed, and from here on everything."""
        self._watcher, missed, self._missed = watcher, self._missed, []
        for tell in missed:
            await tell(watcher)

    async def retrying(self, error: EngineError) -> None:
        """Pass it on."""
        await self._pass_on(lambda watcher: watcher.retrying(error))

    async def falling_back(self, error: EngineError, engine: str) -> None:
        """Pass it on."""
        await self._pass_on(lambda watcher: watcher.falling_back(error, engine))

    async def _pass_on(self, tell: Callable[[Watcher], Awaitable[None]]) -> None:
        if self._watcher:
            await tell(self._watcher)
        else:
            self._missed.append(tell)  # at most one for each attempt


_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` of everything that is asked of engines in this block, and in tasks begun in it."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def watcher() -> Watcher | None:
    """Who is to be told; None if nobody is."""
    return _watcher.get()
