"""One model in one thread.

A ``Worker`` loads its model in its own thread, then does one task after another. Waiting tasks are bounded, every
task has a deadline, a task whose caller went away is cancelled (between two steps of the model, as native code cannot
be stopped), and ``aclose`` joins the thread.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

Model = TypeVar("Model")
Item = TypeVar("Item")
Result = TypeVar("Result")

Cancelled = Callable[[], bool]
"""Asked by a task between two steps: True once nobody wants its result."""

_EMIT_POLL_S: Final = 0.05
"""How often a task that waits for room in its channel looks whether it was cancelled."""


class WorkerError(Exception):
    """A task was not done."""


class WorkerBusy(WorkerError):
    """As many tasks wait as may wait."""


class WorkerTimeout(WorkerError):
    """The task passed its deadline."""


class WorkerClosed(WorkerError):
    """The worker was closed, or its model did not load."""


class TaskCancelled(WorkerError):
    """Raised inside a task by ``emit`` once nobody reads what it emits."""


@dataclass(slots=True, eq=False)
class _Task(Generic[Model]):
    """Work that waits for the thread or runs in it."""

    work: Callable[[Model, Cancelled], Any]
    cancelled: threading.Event = field(default_factory=threading.Event)
    future: Future[Any] = field(default_factory=Future)

    def execute(self, model: Model) -> None:
        """Run in the worker's thread and settle the future."""
        if self.cancelled.is_set() or not self.future.set_running_or_notify_cancel():
            self.future.cancel()
            return
        try:
            result = self.work(model, self.cancelled.is_set)
        except BaseException as error:  # it belongs to the caller, and the thread must live on
            self.future.set_exception(error)
        else:
            self.future.set_result(result)

    def reject(self) -> None:
        """Settle the future of a task that will not run."""
        self.cancelled.set()
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(WorkerClosed("the worker was closed"))


class _Channel(Generic[Item]):
    """Bounded channel from the worker's thread to the loop."""

    def __init__(self, capacity: int, cancelled: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Item | None] = asyncio.Queue()
        self._room = threading.Semaphore(capacity)
        self._cancelled = cancelled

    def emit(self, item: Item) -> None:
        """Hand one item over; waits in the worker's thread while the channel is full."""
        while not self._room.acquire(timeout=_EMIT_POLL_S):
            if self._cancelled.is_set():
                break
        if self._cancelled.is_set():
            raise TaskCancelled("nobody reads any more")
        self._loop.call_soon_threadsafe(self._queue.put_nowait, item)

    def end(self, _: object = None) -> None:
        """Say that no item follows; called from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._queue.put_nowait, None)

    async def get(self) -> Item | None:
        """Return the next item, or None at the end."""
        item = await self._queue.get()
        if item is not None:
            self._room.release()
        return item


class Worker(Generic[Model]):
    """Owns one thread and the model in it."""

    def __init__(self, name: str, load: Callable[[], Model], *, capacity: int) -> None:
        self.name = name
        self.load_s = 0.0
        self._load = load
        self._capacity = capacity
        self._tasks: deque[_Task[Model]] = deque()
        self._current: _Task[Model] | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._loaded: Future[None] = Future()
        self._loaded.set_running_or_notify_cancel()  # so that a caller who stops waiting does not cancel it
        # A daemon, so that native code that does not come back in time cannot hold the process.
        self._thread = threading.Thread(target=self._main, name=f"sandbox-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread, which loads the model first."""
        self._thread.start()

    @property
    def is_loaded(self) -> bool:
        """Whether the model is ready for work."""
        return self._loaded.done() and self._loaded.exception() is None

    async def loaded(self) -> None:
        """Wait until the model is loaded; raises what its loading raised, or ``WorkerClosed``."""
        await asyncio.wrap_future(self._loaded)

    async def run(self, work: Callable[[Model, Cancelled], Result], *, deadline_s: float) -> Result:
        """Do ``work`` in the thread and return its result.

        Cancelling this coroutine cancels the task. Raises ``WorkerBusy``, ``WorkerTimeout`` or ``WorkerClosed``.
        """
        task = self._submit(_Task(work))
        try:
            async with asyncio.timeout(deadline_s):
                result: Result = await asyncio.wrap_future(task.future)
                return result
        except TimeoutError as error:
            raise WorkerTimeout(f"{self.name} took longer than {deadline_s:g} s") from error
        finally:
            self._abandon(task)

    async def stream(
        self,
        work: Callable[[Model, Cancelled, Callable[[Item], None]], None],
        *,
        capacity: int,
        deadline_s: float,
    ) -> AsyncGenerator[Item, None]:
        """Do ``work`` in the thread and yield what it emits (never None), as it is emitted.

        Closing the generator cancels the task. Raises ``WorkerBusy``, ``WorkerTimeout`` or ``WorkerClosed``.
        """
        cancelled = threading.Event()
        channel: _Channel[Item] = _Channel(capacity, cancelled)
        task = _Task[Model](lambda model, is_cancelled: work(model, is_cancelled, channel.emit), cancelled)
        task.future.add_done_callback(channel.end)
        deadline = asyncio.get_running_loop().time() + deadline_s
        self._submit(task)
        try:
            while True:
                async with asyncio.timeout_at(deadline):
                    item = await channel.get()
                if item is None:
                    break
                yield item
            task.future.result()
        except TimeoutError as error:
            raise WorkerTimeout(f"{self.name} took longer than {deadline_s:g} s") from error
        except FutureCancelledError as error:
            raise WorkerClosed("the worker was closed") from error
        finally:
            self._abandon(task)

    def cancel_all(self) -> None:
        """Refuse new tasks, cancel the running one and reject those that wait."""
        with self._changed:
            self._closing = True
            waiting, current = list(self._tasks), self._current
            self._tasks.clear()
            self._changed.notify_all()
        if current is not None:
            current.cancelled.set()
        for task in waiting:
            task.reject()

    async def aclose(self, timeout_s: float) -> bool:
        """Cancel everything and join the thread; False if it still ran after ``timeout_s``."""
        self.cancel_all()
        if self._thread.ident is None:
            return True
        await asyncio.to_thread(self._thread.join, max(0.0, timeout_s))
        return not self._thread.is_alive()

    def _submit(self, task: _Task[Model]) -> _Task[Model]:
        """Queue a task for the thread."""
        with self._changed:
            if self._closing:
                raise WorkerClosed(f"{self.name} is closed")
            if len(self._tasks) >= self._capacity:
                raise WorkerBusy(f"{self._capacity} requests wait for {self.name} already")
            self._tasks.append(task)
            self._changed.notify_all()
        return task

    def _abandon(self, task: _Task[Model]) -> None:
        """Mark a task as unwanted and give its place in the queue back."""
        task.cancelled.set()
        with self._changed:
            if task in self._tasks:
                self._tasks.remove(task)

    def _next(self) -> _Task[Model] | None:
        """Wait for a task; None when the worker closes. The wait ends with ``cancel_all``."""
        with self._changed:
            while not self._tasks and not self._closing:
                self._changed.wait()
            self._current = None if self._closing else self._tasks.popleft()
            return self._current

    def _main(self) -> None:
        """Body of the thread: load, then one task after another."""
        started = time.monotonic()
        try:
            model = self._load()
        except BaseException as error:  # reported by loaded()
            self._loaded.set_exception(error)
            self.cancel_all()
            return
        self.load_s = time.monotonic() - started
        self._loaded.set_result(None)
        while (task := self._next()) is not None:
            task.execute(model)
            self._current = None
