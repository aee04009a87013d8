"""A bounded channel between two stages.

One side sends, the other iterates. A full channel makes its sender wait: that is the backpressure
of the whole pipeline. `close` is synchronous, so a stage can call it in `finally` while it is
being cancelled.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, Self, TypeVar

from avatar_service import clock

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class ChannelClosed(Exception):
    """Something was sent into a closed channel."""


class Sender(Protocol[T_contra]):
    """The sending side of a channel."""

    @property
    def waiting_s(self) -> float:
        """For how long the item that is received next has waited; 0 while nothing waits."""

    async def send(self, item: T_contra, /) -> None:
        """Hand over one item; wait while the channel is full."""


class Channel(Generic[T]):
    """At most `capacity` items wait in it. Cancelling `send` or a receive leaves it unchanged."""

    def __init__(self, name: str, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"channel {name}: capacity must be at least 1, not {capacity}")
        self.name = name
        self.capacity = capacity
        self._items: deque[T] = deque()
        self._sent_at_s: deque[float] = deque()
        self._closed = False
        self._waiting_senders: deque[asyncio.Future[None]] = deque()
        self._waiting_receivers: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def waiting_s(self) -> float:
        """For how long the item that is received next has waited; 0 while nothing waits."""
        return clock.now() - self._sent_at_s[0] if self._sent_at_s else 0.0

    async def send(self, item: T) -> None:
        """Append an item, waiting for room. Raises ChannelClosed if the channel is closed."""
        while self._is_full and not self._closed:
            await _wait_in(self._waiting_senders)
        if self._closed:
            raise ChannelClosed(self.name)
        self._items.append(item)
        self._sent_at_s.append(clock.now())
        _wake_one(self._waiting_receivers)

    def discard(self, unwanted: Callable[[T], bool]) -> None:
        """Take out what waits and is not wanted any more."""
        kept = [(item, at_s) for item, at_s in zip(self._items, self._sent_at_s, strict=True) if not unwanted(item)]
        for _ in range(len(self._items) - len(kept)):
            _wake_one(self._waiting_senders)
        self._items = deque(item for item, _ in kept)
        self._sent_at_s = deque(at_s for _, at_s in kept)

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
            await _wait_in(self._waiting_receivers)
        item = self._items.popleft()
        self._sent_at_s.popleft()
        _wake_one(self._waiting_senders)
        return item


async def _wait_in(waiting: deque[asyncio.Future[None]]) -> None:
    wakeup = asyncio.get_running_loop().create_future()
    waiting.append(wakeup)
    try:
        await wakeup
    except asyncio.CancelledError:
        # The wakeup may have come together with the cancel: it belongs to the next in line.
        if wakeup.done() and not wakeup.cancelled():
            _wake_one(waiting)
        raise
    finally:
        if wakeup in waiting:
            waiting.remove(wakeup)


def _wake_one(waiting: deque[asyncio.Future[None]]) -> None:
    while waiting:
        wakeup = waiting.popleft()
        if not wakeup.done():
            wakeup.set_result(None)
            return
