"""A bounded channel between two stages.

One side sends, the other iterates. A full channel makes its sender wait: that is the backpressure
of the whole pipeline. `close` is synchronous, so a stage can call it in `finally` while it is
being cancelled.
"""

import asyncio
from collections import deque
from typing import Generic, Protocol, Self, TypeVar

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class ChannelClosed(Exception):
    """Something was sent into a closed channel."""


class Sender(Protocol[T_contra]):
    """The sending side of a channel to a client."""

    @property
    def waiting_s(self) -> float:
        """For how long the item that is received next has waited; 0 while nothing waits."""

    async def send(self, item: T_contra, /) -> None:
        """Hand over one item; wait while the channel is full."""


class Channel(Generic[T]):
    """At most `capacity` items wait in it. Cancelling `send` or a receive leaves it unchanged."""

    def __init__(self, name: str, capacity: int, *, refill: int = 1) -> None:
        """A sender that waits is woken once there is room for `refill` items: one that has many to send is then woken
        once for all of them."""
        if capacity < 1:
            raise ValueError(f"channel {name}: capacity must be at least 1, not {capacity}")
        if not 1 <= refill <= capacity:
            raise ValueError(f"channel {name}: refill must be from 1 to its capacity {capacity}, not {refill}")
        self.name = name
        self.capacity = capacity
        self._woken_at = capacity - refill
        self._items: deque[T] = deque()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting_senders: deque[asyncio.Future[None]] = deque()
        self._waiting_receivers: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    async def send(self, item: T) -> None:
        """Append an item, waiting for room. Raises ChannelClosed if the channel is closed."""
        while self._is_full and not self._closed:
            await self._wait_in(self._waiting_senders)
        if self._closed:
            raise ChannelClosed(self.name)
        self._items.append(item)
        if self._waiting_receivers:
            _wake_one(self._waiting_receivers)

    def take(self) -> T | None:
        """Receive the next item if one waits."""
        return self._pop() if self._items else None

    @property
    def _is_full(self) -> bool:
        return len(self._items) >= self.capacity

    def close(self) -> None:
        """Say that nothing more will be sent; what waits can still be received."""
        self._closed = True
        for waiting in (self._waiting_senders, self._waiting_receivers):
            while waiting:
                _wake_one(waiting)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            await self._wait_in(self._waiting_receivers)
        return self._pop()

    def _pop(self) -> T:
        item = self._items.popleft()
        if self._waiting_senders and len(self._items) <= self._woken_at:
            _wake_one(self._waiting_senders)
        return item

    def _wake_senders(self, count: int) -> None:
        """There is room for so many more."""
        for _ in range(count):
            _wake_one(self._waiting_senders)

    async def _wait_in(self, waiting: deque[asyncio.Future[None]]) -> None:
        self._loop = self._loop or asyncio.get_running_loop()
        wakeup = self._loop.create_future()
        waiting.append(wakeup)
        try:
            await wakeup
        except asyncio.CancelledError:
            if wakeup in waiting:
                waiting.remove(wakeup)
            elif not wakeup.cancelled():
                # The wakeup came together with the cancel: it belongs to the next in line.
                _wake_one(waiting)
            raise


def _wake_one(waiting: deque[asyncio.Future[None]]) -> None:
    while waiting:
        wakeup = waiting.popleft()
        if not wakeup.done():
            wakeup.set_result(None)
            return
