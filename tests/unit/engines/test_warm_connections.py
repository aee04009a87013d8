"""When connections are opened ahead of a turn, and what becomes of it where that fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from avatar_service import clock
from avatar_service.background import running
from avatar_service.engines.warm_connections import DEADLINE_S, USABLE_S, WarmConnections
from avatar_service.errors import EngineUnavailable


class Opening:
    """Notes when a connection was asked for; each takes a while, or fails."""

    def __init__(self, takes_s: float = 0.1, error: Exception | None = None) -> None:
        self.at_s: list[float] = []
        self.running = 0
        self._takes_s, self._error = takes_s, error

    async def __call__(self) -> None:
        self.at_s.append(clock.now())
        self.running += 1
        try:
            await asyncio.sleep(self._takes_s)
            if self._error:
                raise self._error
        finally:
            self.running -= 1


@asynccontextmanager
async def warming(**engines: Callable[[], Awaitable[None]]) -> AsyncIterator[WarmConnections]:
    connections = WarmConnections(engines)
    async with running(connections.run()):
        yield connections


async def test_nothing_is_opened_until_a_turn_is_near_and_then_all_at_once() -> None:
    chat, speech = Opening(), Opening()
    async with warming(chat=chat, speech=speech) as connections:
        await asyncio.sleep(10.0)
        assert not chat.at_s
        connections.warm()
        now_s = clock.now()
        await asyncio.sleep(1.0)
    assert chat.at_s == pytest.approx([now_s]) == speech.at_s


async def test_no_engine_is_asked_again_within_a_minute() -> None:
    chat = Opening()
    async with warming(chat=chat) as connections:
        began_s = clock.now()
        for _ in range(125):
            connections.warm()
            await asyncio.sleep(1.0)
    assert [at_s - began_s for at_s in chat.at_s] == pytest.approx([0.0, USABLE_S, 2 * USABLE_S], abs=0.001)


@pytest.mark.parametrize(
    "failing", [Opening(error=EngineUnavailable("warm", "chat", "gone")), Opening(takes_s=1_000.0)]
)
async def test_one_that_fails_or_hangs_disturbs_neither_the_others_nor_what_comes_later(failing: Opening) -> None:
    speech = Opening()
    failing.at_s.clear()
    async with warming(chat=failing, speech=speech) as connections:
        connections.warm()
        await asyncio.sleep(DEADLINE_S + 0.1)
        assert not failing.running
        await asyncio.sleep(USABLE_S)
        connections.warm()
        await asyncio.sleep(1.0)
        assert len(speech.at_s) == len(failing.at_s) == 2


async def test_the_end_of_the_process_waits_for_none() -> None:
    hanging = Opening(takes_s=1_000.0)
    async with warming(chat=hanging) as connections:
        connections.warm()
        await asyncio.sleep(0.1)
        assert hanging.running == 1
        now_s = clock.now()
    assert not hanging.running
    assert clock.now() == pytest.approx(now_s)
