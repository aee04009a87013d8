"""Who is told when an engine is tried again, or replaced by another, while something is done for them.

A turn is watched from outside of its stages: what engines do to come to an answer is told to whoever `watched` in the
task that asks, or in one above it.
"""

from collections.abc import Iterator
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
