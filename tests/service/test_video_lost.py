"""Triton dies in mid-sentence and comes back, over real sockets: what the client of a conversation is told."""

import itertools
from pathlib import Path
from typing import Any

import grpc

from avatar.v1 import Code, ConverseConfig, ConverseRequest, NoticeReason, Say, Stage, TurnOutcome
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.settings import TritonSettings
from tests.fakes.triton_server import Triton, serving_triton
from tests.service.calls import serving
from tests.service.responses import Responses
from tests.service.test_tracing import RealLipSync

TEXT = (
    "The moon is near, and it is round, and it is bright tonight, and nobody on the whole long pier has seen it yet. "
)
"""Two seconds of speech."""


async def test_the_voice_goes_on_and_frames_return_in_the_same_turn(store: Path) -> None:
    triton = Triton()
    async with (
        serving_triton(triton) as address,
        TritonLipSync(TritonSettings.model_validate({"address": address})) as lip_sync,
        serving(store, RealLipSync(lip_sync)) as server,
    ):
        converse: Any = server.stub.Converse
        call: Responses[Any] = Responses(converse())
        await call.write(ConverseRequest(config=ConverseConfig()))
        await call.write(ConverseRequest(say=Say(text=TEXT)))
        await call.until("frame")
        await triton.leave()
        lost = await call.until("notice")
        await triton.come_back()
        restored = await call.until("notice")
        await call.until("frame")
        completed = await call.until("turn_completed")
        assert await call.finish() is grpc.StatusCode.OK
    told = [(notice.reason, notice.stage, notice.turn_id) for notice in (lost, restored)]
    assert told == [
        (NoticeReason.NOTICE_REASON_VIDEO_LOST, Stage.STAGE_ANIMATE, 1),
        (NoticeReason.NOTICE_REASON_VIDEO_RESTORED, Stage.STAGE_ANIMATE, 1),
    ]
    assert lost.status.code == Code.CODE_UNAVAILABLE
    assert dict(lost.status.error_info.metadata)["engine"] == "triton"
    assert not restored.HasField("status")
    assert completed.outcome == TurnOutcome.TURN_OUTCOME_COMPLETED
    assert list(completed.degraded_reasons) == [NoticeReason.NOTICE_REASON_VIDEO_LOST]
    assert len(call.all("notice")) == 2
    for before, after in itertools.pairwise(call.all("audio")):
        assert after.index == before.index + 1
