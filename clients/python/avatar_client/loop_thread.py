"""An event loop in a thread of its own, for callers that have none."""

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, TypeVar

T = TypeVar("T")

END_S: Final = 1.0  # for gRPC to end the calls that were cancelled


class LoopThread:
    """Runs coroutines for other threads, which wait for them. `stop` cancels what is left and joins the thread."""

    def __init__(self, name: str) -> None:
        """Prepare; `start` begins."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name=name, daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._stopping: asyncio.Event | None = None

    def start(self) -> None:
        """Start the thread and wait until its loop runs."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """End the loop, cancel what runs in it, and wait for the end of the thread."""
        if self._loop and self._stopping:
            with suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await `work()` in the loop and return what it returns; an interrupt of the caller cancels it first."""
        if self._loop is None or not self._thread.is_alive():
            raise RuntimeError("the client is closed: use it within its `with` block")
        if threading.current_thread() is self._thread:  # an iterator that was left lying is collected in any thread
            raise RuntimeError("the client's own thread cannot wait for itself")
        result: concurrent.futures.Future[T] = concurrent.futures.Future()
        tasks: list[asyncio.Task[None]] = []

        def begin() -> None:
            tasks.append(self.create_task(_run(work, result)))

        def cancel() -> None:
            tasks[0].cancel()

        self._loop.call_soon_threadsafe(begin)
        try:
            return result.result()
        except BaseException:
            if not result.done():  # the caller was interrupted while it waited, as by Ctrl-C
                self._loop.call_soon_threadsafe(cancel)
                concurrent.futures.wait([result])
            raise

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """The items of an async iterator; leaving off early ends it."""
        try:
            while True:
                try:
                    item = self.call(lambda: anext(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            aclose: Any = getattr(items, "aclose", None)
            if aclose is not None:
                with suppress(RuntimeError):  # the client was closed before the generator
                    self.call(aclose)

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside others until `stop`; to be called in the loop. It must not raise."""
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _main(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with self._tasks:
            self._ready.set()
            await self._stopping.wait()
            for task in self._running:
                task.cancel()
        # gRPC's tasks end by themselves once their calls are cancelled. With the loop closed before, they would log.
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(left, timeout=END_S)


class Held:
    """An async context manager that one task of a loop thread enters and leaves."""

    def __init__(self, loop: LoopThread, manager: AbstractAsyncContextManager[Any]) -> None:
        """Prepare; `enter` and `leave` are for the caller's thread."""
        self._loop = loop
        self._manager = manager
        self._leave: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    def enter(self) -> None:
        """Enter the manager; raises what that raises."""
        self._loop.call(self._start)

    def leave(self) -> None:
        """Leave it and wait until that is done."""
        self._loop.call(self._finish)

    async def _start(self) -> None:
        self._leave = asyncio.Event()
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = self._loop.create_task(self._hold(entered, self._leave))
        try:
            await entered
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait({self._task})
            raise

    async def _finish(self) -> None:
        assert self._leave is not None
        assert self._task is not None
        self._leave.set()
        await asyncio.wait({self._task})

    async def _hold(self, entered: asyncio.Future[None], leave: asyncio.Event) -> None:
        try:
            async with self._manager:
                if not entered.cancelled():
                    entered.set_result(None)
                await leave.wait()
        except Exception as error:
            if not entered.done():
                entered.set_exception(error)


async def _run(work: Callable[[], Awaitable[T]], result: "concurrent.futures.Future[T]") -> None:
    """Put what `work` returns or raises into `result`."""
    try:
        value = await work()
    except BaseException as error:
        result.set_exception(
            concurrent.futures.CancelledError() if isinstance(error, asyncio.CancelledError) else error
        )
        if not isinstance(error, Exception):
            raise
    else:
        result.set_result(value)
