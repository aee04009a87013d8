"""Faults as the cells name them, into the parts of a system."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.cells import Cell, Outage, Row, Turn
from tests.chaos.conftest import Systems
from tests.chaos.network import Break
from tests.chaos.playing import ask, frames, works
from tests.chaos.system import System
from tests.fakes.triton_server import Triton
from tests.service.calls import Call

TARGETS = {
    Row.TRANSCRIPTION: "transcription",
    Row.CHAT: "chat",
    Row.SPEECH: "speech",
    Row.SOCKET: "speech_socket",
}
"""The sandbox's names of the vendors' rows."""
SLOW_S = 0.25
"""How long Triton takes for a few frames where it is slower than real time, and still within its limit."""
NOTICED_S = 0.05
"""By when the service has seen that a connection is gone."""
DOWN_S = 0.3
"""How long Triton is gone in mid-sentence."""
VIDEO_BACK_S = 3.0
"""By when lip-sync is back once Triton is ready."""


@asynccontextmanager
async def injected(cell: Cell, system: System, systems: Systems) -> AsyncIterator[None]:
    """During the block the cell's fault is there; after it, nothing is wrong any more."""
    match cell.inject:
        case Break():
            async with systems.network_of(cell).broken(cell.inject):
                yield
        case Outage():
            async with _outage(system.triton, cell.inject):
                yield
        case dict():
            system.sandbox.faults.replace([{"on": TARGETS[cell.row], **cell.inject}])
            if cell.row is Row.SOCKET:
                await systems.network_of(cell).cut()
                await asyncio.sleep(NOTICED_S)
            yield
            _check_requests(system, cell.turn)
            system.sandbox.faults.clear()
        case _:
            raise AssertionError(f"{cell.inject} is no fault of a turn")


def _check_requests(system: System, turn: Turn | None) -> None:
    """The vendor saw as many requests as the cell says."""
    if turn and turn.requests is not None:
        (rule,) = system.sandbox.faults.to_json()
        assert rule["matched"] == turn.requests, rule


@asynccontextmanager
async def _outage(triton: Triton, outage: Outage) -> AsyncIterator[None]:
    triton.fault, triton.slow_s = outage.fault, SLOW_S
    if outage.gone:
        await triton.leave()
    try:
        yield
    finally:
        triton.fault = None
        triton.released.set()  # requests that hang are answered: too late for their turn
        triton.released.clear()
        if outage.gone:
            await triton.come_back()


async def strike(cell: Cell, call: Call, system: System) -> None:
    """What happens in the middle of a turn, if anything does."""
    if isinstance(cell.inject, Outage) and cell.inject.strikes:
        await call.until("frame")
        await system.triton.leave()
        await asyncio.sleep(DOWN_S)
        await system.triton.come_back()


async def works_again(cell: Cell, call: Call) -> None:
    """The next turn is as if nothing had been; of Triton, one that begins within three seconds."""
    if cell.row is not Row.TRITON:
        await works(call, by_voice=cell.row is Row.TRANSCRIPTION)
        return
    ended_s = time.monotonic()
    while True:
        began, began_s = len(call.responses), time.monotonic()
        await ask(call, by_voice=False)
        completed = await call.until("turn_completed")
        if frames(call.responses[began:], completed.turn_id):
            return
        assert began_s - ended_s < VIDEO_BACK_S, "lip-sync has not come back"
