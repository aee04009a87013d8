"""Small helpers to test one stage alone: fill a channel, keep what comes out."""

from collections.abc import Iterable
from typing import TypeVar

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.events import Event

T = TypeVar("T")


async def closed_channel(items: Iterable[T]) -> Channel[T]:
    """A closed channel in which these items wait."""
    waiting = list(items)
    channel = Channel[T]("input", max(1, len(waiting)))
    for item in waiting:
        await channel.send(item)
    channel.close()
    return channel


class Events:
    """A client that takes everything at once."""

    def __init__(self) -> None:
        self.sent: list[Event] = []
        self.times_s: list[float] = []
        self.waiting_s = 0.0

    async def send(self, event: Event) -> None:
        """Keep an event and its time."""
        self.sent.append(event)
        self.times_s.append(clock.now())
