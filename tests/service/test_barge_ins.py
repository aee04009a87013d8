"""Barge-ins at random moments over real sockets: the whole service, its adapter to Triton, and a replaying Triton."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from avatar.v1 import TurnOutcome
from avatar_service.background import running
from avatar_service.engines.base import Engines, LipSync
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.settings import TritonSettings
from tests.fakes.chat import FakeChat, Reply
from tests.fakes.speech import FakeSpeech
from tests.fakes.transcriber import FakeTranscriber, Heard
from tests.fakes.triton_server import Triton, serving_triton
from tests.measuring import Lag
from tests.pictures import jpeg
from tests.service.calls import Call, Fakes, Server, serving
from tests.service.responses import DEADLINE_S

STREAMS = 5
BARGE_INS = 50
REPLY = "The moon is near. " * 30
WITHIN_MS = 100
"""From the decision to interrupt to the last byte of the turn's media."""


@dataclass
class Rendering(Fakes):
    """The engines of one server, with the real adapter to Triton among them."""

    triton: LipSync | None = None

    @property
    def engines(self) -> Engines:
        assert self.triton
        fakes = super().engines
        return Engines(fakes.voice_activity, fakes.transcriber, fakes.chat, fakes.speech, self.triton)


@asynccontextmanager
async def service(store: Path, triton: Triton) -> AsyncIterator[Server]:
    """The service, rendering by this Triton."""
    fakes = Rendering(
        transcriber=FakeTranscriber(Heard("Stop.", 0.005)),
        chat=FakeChat(Reply(REPLY, 0.01, 0.2)),
        speech=FakeSpeech(ttfb_s=0.01, rate=5.0),
    )
    async with (
        serving_triton(triton) as address,
        TritonLipSync(TritonSettings.model_validate({"address": address})) as fakes.triton,
    ):
        async with serving(store, fakes) as server:
            yield server
        assert fakes.idle


class Conversation:
    """A stream that is read all the time, whatever its user does meanwhile."""

    def __init__(self, server: Server, seed: int) -> None:
        self.call = server.converse()
        self._chance = random.Random(seed)
        self._news = asyncio.Event()
        self._looked_at = 0

    async def hold(self, barge_ins: int) -> None:
        """Break every answer off, then hang up."""
        await self.call.configure()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            await self.call.text("Tell me about the moon.")
            for _ in range(barge_ins):
                await self._barge_in((await self._until("turn_started")).turn_id)
            await self._until("turn_started")
            await self.call.interrupt()
            await self.call.call.done_writing()

    async def _barge_in(self, turn_id: int) -> None:
        """Break a turn off at some moment and in one of three ways; see to it that another one begins."""
        if self._chance.random() < 0.8:
            await self._until("audio", turn_id)
        await asyncio.sleep(self._chance.uniform(0.0, 0.8))
        way = self._chance.randrange(3)
        if way == 0:
            await self.call.interrupt()
        elif way == 1:
            await self.call.text("Something else.")
        else:
            await self.call.speak((1.0, 0.4), (0.0, 0.7))
        await self._until("interrupted", turn_id)
        if way == 0:
            await self.call.text("Go on.")

    async def _read(self) -> None:
        while await self.call.next():
            self._news.set()

    async def _until(self, kind: str, turn_id: int = 0) -> Any:
        """The next response of a kind, of one turn if given."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                while self._looked_at < len(self.call.responses):
                    response = self.call.responses[self._looked_at]
                    self._looked_at += 1
                    if response.WhichOneof("payload") == kind:
                        payload = getattr(response, kind)
                        if turn_id in (0, payload.turn_id):
                            return payload
                self._news.clear()
                await self._news.wait()


def check(call: Call, barge_ins: int, within_ms: float) -> None:
    """Each turn that was broken off has one `interrupted`, one `turn_completed`, and no media after the former."""
    interrupted = [response.turn_id for response in call.all("interrupted")]
    completed = call.all("turn_completed")
    assert len(interrupted) == len(set(interrupted)) >= barge_ins
    assert [turn.turn_id for turn in completed] == [turn.turn_id for turn in call.all("turn_started")]
    for turn in completed:
        assert (turn.outcome == TurnOutcome.TURN_OUTCOME_INTERRUPTED) == (turn.turn_id in interrupted)
        if turn.turn_id in interrupted:
            assert turn.metrics.interruption_time_ms <= within_ms
    over: set[int] = set()
    for response in call.responses:
        kind = response.WhichOneof("payload") or ""
        if kind == "interrupted":
            over.add(response.interrupted.turn_id)
        if kind in ("audio", "frame", "spoken_text", "reply_finished"):
            assert getattr(response, kind).turn_id not in over


async def test_fifty_barge_ins_at_random_moments_are_exact_and_cancel_no_call_of_triton(store: Path) -> None:
    triton, lag = Triton(delay_s=0.03, picture=jpeg(0)), Lag()
    each = BARGE_INS // STREAMS
    async with service(store, triton) as server:
        conversations = [Conversation(server, seed) for seed in range(STREAMS)]
        async with running(lag.measure()):
            await asyncio.gather(*(conversation.hold(each) for conversation in conversations))
    calls = [conversation.call for conversation in conversations]
    for call in calls:
        assert await call.call.code() is grpc.StatusCode.OK
        check(call, each, WITHIN_MS + 1000 * lag.longest_s)
    assert sum(len(call.all("interrupted")) for call in calls) >= BARGE_INS
    assert triton.cancelled == triton.in_flight == 0
    assert triton.finished == len(triton.requests) > BARGE_INS
    assert triton.most_in_flight <= 2 * STREAMS
