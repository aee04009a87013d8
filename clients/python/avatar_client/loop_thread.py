"""An event loop in a thread of its own, for callers that have none."""

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, TypeVar

T = TypeVar("T")

END_S: Final = 1.0  # for gRPC to end the calls that were cancelled
CLOSED: Final = "the client is closed: use it within its `with` block"


class LoopThread:
    """Runs coroutines for other threads, which wait for them. `stop` cancels what is left and joins the thread."""

    def __init__(self, name: str) -> None:
        """Prepare; `start` begins."""
        self._thread = threading.Thread(target=self._run_loop, name=name, daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._stopping: asyncio.Event | None = None
        self._waiting: set[concurrent.futures.Future[Any]] = set()  # its operations are atomic, so it needs no lock
        self._closed = False

    def start(self) -> None:
        """Start the thread, once, and wait until its loop runs."""
        if self._thread.ident is not None:
            raise RuntimeError("the client was opened before: make another one")
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """End the loop, cancel what runs in it, and wait for the end of the thread."""
        if self._loop and self._stopping:
            with suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    @property
    def is_closed(self) -> bool:
        """Whether `stop` has begun: nothing is called any more."""
        return self._closed

    def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await `work()` in the loop and return what it returns; an interrupt of the caller cancels it first."""
        if threading.current_thread() is self._thread:  # an iterator that was left lying is collected in any thread
            raise RuntimeError("the client's own thread cannot wait for itself")
        result: concurrent.futures.Future[T] = concurrent.futures.Future()
        tasks: list[asyncio.Task[None]] = []

        def begin() -> None:
            if self._closed:  # since this call was handed over; its caller waits
                result.set_exception(RuntimeError(CLOSED))
            else:
                tasks.append(self.create_task(self._run(work, result)))

        def cancel() -> None:
            for task in tasks:
                task.cancel()

        loop = self._hand_over(begin, result)
        try:
            return result.result()
        except BaseException:
            if not result.done():  # the caller was interrupted while it waited, as by Ctrl-C
                loop.call_soon_threadsafe(cancel)
                concurrent.futures.wait([result])
            raise
        finally:
            self._waiting.discard(result)

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

    def _hand_over(
        self, begin: Callable[[], None], result: "concurrent.futures.Future[T]"
    ) -> asyncio.AbstractEventLoop:
        """Have `begin` run in the loop, which is returned. Raises RuntimeError if it has ended or not begun."""
        if self._loop is None or self._closed:
            raise RuntimeError(CLOSED)
        self._waiting.add(result)  # before the loop has it: a loop that ends meanwhile fails it
        try:
            self._loop.call_soon_threadsafe(begin)
        except RuntimeError:
            self._waiting.discard(result)
            raise RuntimeError(CLOSED) from None
        return self._loop

    def _run_loop(self) -> None:
        try:
            asyncio.run(self._main())
        finally:
            self._closed = True
            for result in tuple(self._waiting):
                if not result.done():
                    result.set_exception(RuntimeError(CLOSED))

    async def _run(self, work: Callable[[], Awaitable[T]], result: "concurrent.futures.Future[T]") -> None:
        """Put what `work` returns or raises into `result`."""
        try:
            result.set_result(await work())
        except asyncio.CancelledError:
            result.set_exception(RuntimeError(CLOSED) if self._closed else concurrent.futures.CancelledError())
            raise
        except BaseException as error:
            result.set_exception(error)
            if not isinstance(error, Exception):
                raise

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
            self._closed = True
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
        """Leave it and wait until that is done; the end of the loop has done it already."""
        if not self._loop.is_closed:
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
