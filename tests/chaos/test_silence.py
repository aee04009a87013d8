"""After a silence the next turn speaks to its vendors over the connections that were open before it."""

import asyncio
from pathlib import Path

import grpc
import pytest

from tests.chaos.playing import opened, works
from tests.chaos.system import System, running_system

LONG_S = 60.0
SHORT_S = 2.0
ROUTES = {
    "http": ("transcriptions", "completions", "with-timestamps"),
    "websocket": ("transcriptions", "completions"),  # the voice is asked for over a connection that stays
}
"""What a turn asks of the vendors: how its routes end."""


@pytest.mark.parametrize("transport", ROUTES)
async def test_a_turn_after_a_silence_opens_no_connection(tmp_path: Path, transport: str) -> None:
    await _stay_silent(tmp_path, transport, SHORT_S)


@pytest.mark.full
async def test_a_turn_after_a_minute_of_silence_opens_no_connection(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        for transport in ROUTES:
            tasks.create_task(_stay_silent(tmp_path / transport, transport, LONG_S))


async def _stay_silent(folder: Path, transport: str, silence_s: float) -> None:
    async with running_system(folder, elevenlabs={"transport": transport}) as system:
        call = await opened(system)
        await works(call, by_voice=True)
        before, asked_before = await _connections(system)
        assert len(before) >= 2, "each vendor has one"
        await asyncio.sleep(silence_s)
        await works(call, by_voice=True)
        after, asked = await _connections(system)
        assert await call.finish() is grpc.StatusCode.OK
    assert after == before
    routes = tuple(dict.fromkeys(route.rpartition("/")[2] for route in asked[len(asked_before) :]))
    assert tuple(route for route in routes if route != "models") == ROUTES[transport]


async def _connections(system: System) -> tuple[set[int], list[str]]:
    """The connections that the sandbox has seen, and the routes of what came on them, in order."""
    told = await system.requests()
    return {one["connection"] for one in told}, [one["route"] for one in told]
