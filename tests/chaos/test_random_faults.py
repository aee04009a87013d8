"""Everything goes wrong at once, at random and for long: no session is lost, every turn has its one end, nothing grows,
and nothing of what was said or asked is told to the logs.
"""

import asyncio
import gc
import random
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar.v1 import UserAudio, UtteranceEnded, UtteranceStarted
from avatar_service.background import running
from avatar_service.sandbox.app import Sandbox
from avatar_service.sandbox.replay import Replay
from avatar_service.sandbox.settings import SandboxSettings
from tests.chaos.playing import MANUAL, nothing_leaks, outcome
from tests.chaos.system import MuseTalkAlone, System, running_system
from tests.fakes.triton_server import Fault
from tests.fakes.voice_activity import pcm_of_probability
from tests.nothing_private import Private, listening
from tests.redis_server import RedisServer
from tests.service.calls import Call

FAULTY = 0.1
"""Part of the requests that meet a fault, at each vendor and at Triton."""
SESSIONS = 8
WARM_UP = 2
"""Turns of each session before memory and descriptors are looked at."""
PATIENCE_S = 3.0
"""After so long a client interrupts: a fault may make a voice go on for minutes."""
TURN_S = 12.0
"""Longest that a turn may take, the interruption of an impatient client included."""
KEPT_CONNECTIONS = 4 * SESSIONS
"""Descriptors that may be left open: each session may have needed a connection to each vendor at once, which is kept
for the next turns, and of which both ends are in this process."""
GROWTH_BYTES = 10 << 20
"""Most that may be added to the memory of the process behind the warm-up."""
STORE_EVERY_S, STORE_HANGS_S = 2.0, 0.4
"""How often, and for how long, Redis answers nothing."""
PRIVATE = Private.of("q")
STATUSES: Sequence[Mapping[str, Any]] = tuple(
    {"fault": "status", **fields}
    for fields in (
        {"status": 401},
        {"status": 403},
        {"status": 429},
        {"status": 429, "retry_after_s": 0.1},
        {"status": 429, "retry_after_s": 30},
        {"status": 500},
        {"status": 503},
        {"status": 400, "code": PRIVATE.body},
    )
)
ANY: Sequence[Mapping[str, Any]] = (
    *STATUSES,
    {"fault": "hang"},
    {"fault": "stall", "after": 1},
    {"fault": "cut"},
    {"fault": "cut", "after": 1},
    {"fault": "error_frame", "after": 1},
    {"fault": "garbage"},
    {"fault": "empty"},
    {"fault": "content_type"},
    {"fault": "endless"},
)
KINDS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "transcription": ANY,
    "chat": (
        *ANY,
        {"fault": "stall", "after": 3},
        {"fault": "cut", "after": 3},
        {"fault": "garbage", "after": 3},
        {"fault": "no_finish", "after": 3},
        {"fault": "drip", "rate": 10},
        {"fault": "refusal"},
        {"fault": "content_filter"},
        {"fault": "content_filter", "after": 2},
        {"fault": "length", "after": 2},
        {"fault": "broken_tool_call"},
    ),
    "speech": (*ANY, {"fault": "odd_length"}, {"fault": "drip", "rate": 0.6}),
}


class FickleTriton(MuseTalkAlone):
    """Fails one request in ten, each time in another way."""

    chance = random.Random(6)
    begun = False

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802  # Triton's name
        """One render request, or a failure; none is remembered."""
        self.requests.clear()
        self.headers.clear()
        if self.begun:
            self.script = [self.chance.choice(list(Fault)) if self.chance.random() < FAULTY else None]
        return await super().ModelInfer(request, context)

    async def release(self) -> None:
        """Answer what hangs, ever again and too late."""
        while True:
            await asyncio.sleep(0.5)
            self.released.set()
            self.released.clear()


async def test_sessions_survive_random_faults_of_every_kind_and_their_logs_tell_nothing(tmp_path: Path) -> None:
    turns = 8
    with listening() as told:
        await _survive(tmp_path, turns)
    assert told.logs.count('"turn_completed"') >= turns * SESSIONS, "there are no logs to search"
    assert PRIVATE.found_in(told.text) == []


@pytest.mark.full
async def test_two_hundred_turns_survive_random_faults_of_every_kind_in_the_same_memory(tmp_path: Path) -> None:
    assert await _survive(tmp_path, 25) < GROWTH_BYTES


async def _survive(folder: Path, turns: int) -> int:
    """Hold so many turns in each session; returns how many bytes of memory came to the process behind the warm-up."""
    async with _faulty_system(folder) as system:
        talks = [_Talk(await _opened(system), number) for number in range(SESSIONS)]
        await _all(talks, WARM_UP)
        async with nothing_leaks(system, KEPT_CONNECTIONS):
            before = _resident_bytes()
            await _all(talks, turns - WARM_UP)
            grown = _resident_bytes() - before
        injected = sum(rule["injected"] for rule in system.sandbox.faults.to_json())
        system.sandbox.faults.clear()
        for talk in talks:
            assert await talk.call.finish() is grpc.StatusCode.OK
            assert talk.started == talk.completed == list(range(1, turns + 1))
    assert injected > turns * SESSIONS * FAULTY / 2, "there were hardly any faults"
    assert {"COMPLETED", "FAILED"} <= {each for talk in talks for each in talk.outcomes}
    return grown


@asynccontextmanager
async def _faulty_system(folder: Path) -> AsyncIterator[System]:
    script = Replay(PRIVATE.transcript, (PRIVATE.reply, ".", " Far", "."), 0.0, 0.0, speech="tone")
    sandbox = Sandbox(SandboxSettings(key=PRIVATE.key, max_requests=1_000), script)
    key, triton = {"api_key": PRIVATE.key}, FickleTriton()
    with RedisServer() as redis:
        sessions = {"redis_url": redis.url}
        async with (
            running_system(
                folder, sandbox=sandbox, triton=triton, openai=key, elevenlabs=key, sessions=sessions
            ) as system,
            running(triton.release()),
            running(_hang_at_times(redis)),
        ):
            sandbox.faults.replace(list(_rules()))
            triton.begun = True
            yield system


def _rules() -> Sequence[Mapping[str, Any]]:
    return [
        {"on": target, **fault, "probability": FAULTY / len(kinds), "seed": seed}
        for target, kinds in KINDS.items()
        for seed, fault in enumerate(kinds)
    ]


async def _hang_at_times(redis: RedisServer) -> None:
    while True:
        await asyncio.sleep(STORE_EVERY_S)
        with redis.hanging():
            await asyncio.sleep(STORE_HANGS_S)


async def _opened(system: System) -> Call:
    call = system.converse()
    await call.configure(turn_taking=MANUAL, transcription={"early": False}, system_prompt=PRIVATE.prompt)
    return call


class _Talk:
    """A session and the ends of its turns; its responses are not kept, since they would be what grows."""

    def __init__(self, call: Call, number: int) -> None:
        self.call = call
        self._number = number
        self.started: list[int] = []
        self.completed: list[int] = []
        self.outcomes: list[str] = []

    async def turns(self, count: int) -> None:
        """Some more turns, by voice and by text."""
        for turn in range(count):
            await _ask(self.call, by_voice=(turn + self._number) % 2 == 0)
            async with asyncio.timeout(TURN_S), running(_lose_patience(self.call)):
                await self.call.until("turn_completed")
            self.started += [begun.turn_id for begun in self.call.all("turn_started")]
            for completed in self.call.all("turn_completed"):
                self.completed.append(completed.turn_id)
                self.outcomes.append(outcome(completed))
            self.call.responses.clear()
            self.call.times_s.clear()


async def _all(talks: Sequence[_Talk], turns: int) -> None:
    """Some more turns of every session, side by side."""
    async with asyncio.TaskGroup() as tasks:
        for talk in talks:
            tasks.create_task(talk.turns(turns))


async def _ask(call: Call, *, by_voice: bool) -> None:
    if not by_voice:
        await call.text(PRIVATE.transcript)
        return
    await call.send(utterance_started=UtteranceStarted())
    await call.send(audio=UserAudio(data=pcm_of_probability(1.0, 0.25) + PRIVATE.sound))
    await call.send(utterance_ended=UtteranceEnded())


async def _lose_patience(call: Call) -> None:
    await asyncio.sleep(PATIENCE_S)
    await call.interrupt()
    await asyncio.Event().wait()


def _resident_bytes() -> int:
    gc.collect()
    told = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert told
    return int(told[1]) * 1024
