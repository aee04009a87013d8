"""The fault matrix over the whole service: whatever fails, the turn ends in time and in a stated way, it is counted,
nothing is left behind, and the next turn of the same session works.
"""

import asyncio
import time
from typing import Any

import grpc
import pytest

from avatar.v1 import NoticeReason, TurnCompleted
from tests.chaos.cells import Cell, Row, StoreTrouble, Stream, Turn
from tests.chaos.conftest import Systems
from tests.chaos.injecting import injected, strike, works_again
from tests.chaos.matrix import CELLS
from tests.chaos.playing import ask, nothing_leaks, opened, outcome, reasons, works
from tests.chaos.store_playing import play_store
from tests.chaos.system import System, counted
from tests.service.calls import Call

ALL = [pytest.param(cell, id=cell.id, marks=[pytest.mark.full] * cell.full) for cell in CELLS]
COUNTED_WITHIN_S = 2.0
"""By when the end of a stream is counted that its client has cancelled."""


@pytest.mark.parametrize("cell", ALL)
def test_cell(cell: Cell, systems: Systems) -> None:
    systems.run(_play(cell, systems))


async def _play(cell: Cell, systems: Systems) -> None:
    before, began_s = counted(cell.counted.name, **cell.counted.labels), time.monotonic()
    if isinstance(cell.inject, StoreTrouble):
        await play_store(cell, cell.inject, systems.folder)
        assert time.monotonic() - began_s < cell.within_s
    else:
        system = await systems.of(cell)
        async with nothing_leaks(system):
            await _meet(cell, system, systems)
    deadline_s = time.monotonic() + COUNTED_WITHIN_S
    while counted(cell.counted.name, **cell.counted.labels) <= before:
        assert time.monotonic() < deadline_s, f"{cell.counted} has not grown"
        await asyncio.sleep(0.02)


async def _meet(cell: Cell, system: System, systems: Systems) -> None:
    if isinstance(cell.inject, Stream):
        await _play_stream(cell, cell.inject, system)
    elif cell.turn:
        await _play_turn(cell, cell.turn, system, systems)


async def _play_turn(cell: Cell, expected: Turn, system: System, systems: Systems) -> None:
    call = await opened(system, transcription_model=cell.model)
    async with injected(cell, system, systems):
        began_s = time.monotonic()
        await (call.say(cell.says) if cell.says else ask(call, by_voice=cell.row is Row.TRANSCRIPTION))
        await strike(cell, call, system)
        completed = await _completed(call, expected)
        took_s = time.monotonic() - began_s
        _check(call, completed, expected)
        assert took_s < expected.within_s, f"{took_s:.2f} s"
    await works_again(cell, call)
    assert await call.finish() is grpc.StatusCode.OK


async def _play_stream(cell: Cell, stream: Stream, system: System) -> None:
    began_s = time.monotonic()
    call = await stream.play(system)
    if not call.call.cancelled():
        await call.end()
    assert time.monotonic() - began_s < cell.within_s
    if stream.reason:
        assert (await call.status()).error_info.reason == stream.reason
    following = await opened(system)
    await works(following)
    assert await following.finish() is grpc.StatusCode.OK


async def _completed(call: Call, expected: Turn) -> TurnCompleted:
    """The turn's end, reached or brought about."""
    if expected.interrupted_at:
        await call.until("notice", lambda notice: expected.interrupted_at in reasons([notice.reason]))
        await call.interrupt()
    completed: TurnCompleted = await call.until("turn_completed")
    return completed


def _check(call: Call, completed: TurnCompleted, expected: Turn) -> None:
    """What the client was told is what the cell says."""
    told: list[Any] = [
        notice
        for notice in call.all("notice")
        if "SPEECH_STARVED" in expected.notices or notice.reason != NoticeReason.NOTICE_REASON_SPEECH_STARVED
    ]  # on a busy machine a voice may always come too late
    status = completed.status
    fault = status.error_info.metadata.get("fault") or (told[-1].status.error_info.metadata["fault"] if told else "")
    found = {
        "outcome": outcome(completed),
        "reason": status.error_info.reason,
        "notices": reasons(notice.reason for notice in told),
        "degraded": reasons(completed.degraded_reasons),
        "fault": fault,
    }
    wanted = {name: getattr(expected, name) for name in found}
    if not expected.fault:
        del found["fault"], wanted["fault"]
    assert found == wanted
    _check_texts(call, completed, expected)
    if expected.retries is not None:
        assert completed.metrics.retry_count == expected.retries
    assert [turn.turn_id for turn in call.all("turn_completed")] == [1]


def _check_texts(call: Call, completed: TurnCompleted, expected: Turn) -> None:
    if expected.transcript is not None:
        assert [heard.text for heard in call.all("transcript")] == [expected.transcript]
    written = "".join(piece.text for piece in call.all("reply_text"))
    heard = expected.reply if expected.heard is None else expected.heard
    if expected.reply != "*":
        assert written == expected.reply
        assert completed.generated_text == expected.reply
    if heard != "*":
        assert completed.heard_text == heard
        assert bool(call.all("audio")) == bool(heard)
