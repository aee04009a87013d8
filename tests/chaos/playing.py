"""A turn as a client has it, and what must hold after any turn whatever met it."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from avatar.v1 import (
    Code,
    ConverseResponse,
    NoticeReason,
    TurnCompleted,
    TurnOutcome,
    UserAudio,
    UtteranceEnded,
    UtteranceStarted,
)
from tests.chaos.system import WHOLE_REPLY, System
from tests.fakes.voice_activity import pcm_of_probability
from tests.service.calls import Call

MANUAL = {"mode": "TURN_TAKING_MODE_MANUAL"}
SETTLED_S = 3.0
"""How long what a turn leaves behind may take to end."""
KEPT_CONNECTIONS = 6
"""Descriptors that may be left open by one cell: connections that the clients keep for the next turn."""
KEPT_SOCKET = "/multi-stream-input"
"""The one request that may go on between turns: the WebSocket of the voice."""
KEPT_TASKS = ("AioServer._request_", "RequestHandler.start", "Network._connected", "_pass")
"""Coroutines of the servers, of the network, and of gRPC, which waits for the next call."""


async def ask(call: Call, *, by_voice: bool) -> None:
    """Say or type something: what it is does not matter, the sandbox hears and answers always the same."""
    if not by_voice:
        await call.text("go on")
        return
    await call.send(utterance_started=UtteranceStarted())
    await call.send(audio=UserAudio(data=pcm_of_probability(1.0, 0.25)))
    await call.send(utterance_ended=UtteranceEnded())


async def opened(system: System, *, transcription_model: str = "") -> Call:
    """A session in which the client says when its user speaks."""
    call = system.converse()
    await call.configure(
        turn_taking=MANUAL,
        transcription={"model": transcription_model, "early": False},
        voice={"settings": {"speed": 1.2}},  # the fastest there is: play-out is most of a test's time
    )
    return call


async def works(call: Call, *, by_voice: bool = False) -> None:
    """The session has a whole turn, as if nothing had been."""
    began = len(call.responses)
    await ask(call, by_voice=by_voice)
    completed: TurnCompleted = await call.until("turn_completed")
    assert outcome(completed) == "COMPLETED", completed
    assert completed.status.code == Code.CODE_OK
    assert not completed.degraded, completed
    assert completed.heard_text == WHOLE_REPLY
    assert frames(call.responses[began:], completed.turn_id) > 0, "the next turn has no frames"
    assert completed.metrics.retry_count == 0, completed


def outcome(completed: TurnCompleted) -> str:
    """How a turn ended, by the word of the contract."""
    return TurnOutcome.Name(completed.outcome).removeprefix("TURN_OUTCOME_")


def reasons(values: Any) -> tuple[str, ...]:
    """Reasons of notices, by the words of the contract."""
    return tuple(NoticeReason.Name(value).removeprefix("NOTICE_REASON_") for value in values)


def frames(responses: list[ConverseResponse], turn_id: int) -> int:
    """How many frames of a turn came."""
    return sum(response.HasField("frame") and response.frame.turn_id == turn_id for response in responses)


@asynccontextmanager
async def nothing_leaks(system: System, kept: int = KEPT_CONNECTIONS) -> AsyncIterator[None]:
    """After the block no task, request to a vendor, render request or socket of it is left, but for the descriptors of
    connections that are kept."""
    tasks, descriptors = _tasks(), open_descriptors()
    yield
    deadline_s = time.monotonic() + SETTLED_S
    while left := await _left(system, tasks, descriptors + kept):
        assert time.monotonic() < deadline_s, f"left behind: {left}"
        await asyncio.sleep(0.02)


async def _left(system: System, tasks: Counter[str], descriptors: int) -> str:
    requests = [told["route"] for told in await system.requests() if told["outcome"] == "running"]
    if requests and not (len(requests) == 1 and requests[0].endswith(KEPT_SOCKET)):
        return f"requests to vendors {requests}"
    if system.triton.in_flight:
        return f"{system.triton.in_flight} render requests"
    if left := {name: more for name, more in (_tasks() - tasks).items() if not name.startswith(KEPT_TASKS)}:
        return f"tasks {left}"
    if (more := open_descriptors() - descriptors) > 0:
        return f"{more} descriptors too many"
    return ""


def _tasks() -> Counter[str]:
    """The coroutines that run in tasks of their own."""
    return Counter(
        getattr(task.get_coro(), "__qualname__", "unknown")
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task()
    )


def open_descriptors() -> int:
    """How many this process has."""
    return len(os.listdir("/proc/self/fd"))
