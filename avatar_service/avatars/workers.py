"""Threads for what blocks: decoding, encoding, the disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self, TypeVar

T = TypeVar("T")


class Workers(Protocol):
    """Runs blocking work beside the event loop. The work is short: a cancel waits for its end."""

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises."""


class ThreadWorkers:
    """So many threads of our own, joined at the end of the block."""

    def __init__(self, threads: int, name: str) -> None:
        """The threads' names begin with `name`."""
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises. Cancelled, it goes on until the work has ended, so that nothing of it comes
        after what the caller does next."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                try:
                    await asyncio.wait({future})
                except asyncio.CancelledError:
                    continue
            future.exception()  # looked at, or the loop would log it
            raise
