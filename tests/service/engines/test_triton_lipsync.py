"""Lip-sync by Triton's protocol, over a socket: the tensors, the failures, and that no call is ever cancelled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from avatar_service.engines import triton_lipsync
from avatar_service.engines.base import RenderRequest
from avatar_service.engines.triton_calls import TritonCalls
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable, StartupError
from avatar_service.settings import TritonSettings
from tests.fakes.triton_server import JPEG, Triton, serving_triton

REQUEST = RenderRequest(
    avatar="ada@" + "1" * 64,
    span=np.arange(22_400).astype(np.int16),
    span_start=-16_000,
    frame_indices=(8, 9, 0, 1),
    frame_starts=(16_000, 16_640, 17_280, 17_920),
    mouth_weights=(0.25, 0.5, 0.75, 1.0),
    mel_max=0.5,
)


DEADLINE_S = 15.0
"""Longest that a test waits for what must come."""


async def requested(triton: Triton) -> None:
    """Wait until a request has come."""
    async with asyncio.timeout(DEADLINE_S):
        while not triton.requests:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def rendering(triton: Triton, **settings: Any) -> AsyncIterator[TritonLipSync]:
    async with (
        serving_triton(triton) as address,
        TritonLipSync(TritonSettings.model_validate({"address": address} | settings)) as lip_sync,
    ):
        yield lip_sync


async def test_a_request_goes_out_as_the_tensors_of_the_contract_and_its_frames_come_back() -> None:
    triton = Triton()
    async with rendering(triton) as lip_sync:
        rendered = await lip_sync.render(REQUEST)
    assert rendered.images == tuple(JPEG + f"frame {index}".encode() for index in (8, 9, 0, 1))
    assert rendered.mel_max == pytest.approx(0.75)
    (tensors,) = triton.requests
    assert (tensors["model"], tensors["AVATAR"]) == ("musetalk", REQUEST.avatar)
    np.testing.assert_array_equal(tensors["AUDIO"], REQUEST.span[None])
    assert tensors["AUDIO_START"].tolist() == [[-16_000]]
    assert tensors["FRAME_INDEX"].tolist() == [[8, 9, 0, 1]]
    assert tensors["FRAME_START"].tolist() == [list(REQUEST.frame_starts)]
    assert tensors["MOUTH_WEIGHT"].tolist() == [list(REQUEST.mouth_weights)]
    assert tensors["MEL_MAX"].tolist() == [[0.5]]


async def test_who_no_longer_waits_does_not_cancel_the_call() -> None:
    triton = Triton(holds=True)
    async with rendering(triton) as lip_sync:
        waiting = asyncio.create_task(lip_sync.render(REQUEST))
        await requested(triton)
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=DEADLINE_S)
        assert waiting.cancelled()
        assert triton.finished == 0
        asyncio.get_running_loop().call_later(0.1, triton.released.set)
    assert (triton.finished, triton.cancelled) == (1, 0), "closing waits for the calls in flight"


async def test_a_call_that_takes_too_long_is_a_timeout_and_is_not_cancelled_either() -> None:
    triton = Triton(holds=True)
    async with rendering(triton, timeout_s=1.0) as lip_sync:
        with pytest.raises(EngineTimeout, match=r"no answer within 1 s"):
            await lip_sync.render(REQUEST)
        triton.released.set()
    assert (triton.finished, triton.cancelled) == (1, 0)


async def test_a_triton_that_hangs_does_not_hold_up_the_end() -> None:
    async with asyncio.timeout(DEADLINE_S), rendering(Triton(delay_s=60.0), timeout_s=0.2) as lip_sync:
        with pytest.raises(EngineTimeout):
            await lip_sync.render(REQUEST)


async def test_another_model_than_this_releases_is_refused_with_the_tensors_that_differ() -> None:
    inputs = {"AUDIO": "FP32", "AVATAR": "BYTES"}
    async with rendering(Triton(inputs=inputs)) as lip_sync:
        with pytest.raises(StartupError, match=r"AVATAR_TRITON_ADDRESS.*'\w+'.*AUDIO, AUDIO_START, FRAME_INDEX"):
            await lip_sync.ready()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, EngineRejected),
        (grpc.StatusCode.UNAVAILABLE, EngineUnavailable),
        (grpc.StatusCode.INTERNAL, EngineUnavailable),
        (grpc.StatusCode.NOT_FOUND, EngineUnavailable),
    ],
)
async def test_a_status_becomes_our_error(code: grpc.StatusCode, error: type[EngineError]) -> None:
    async with rendering(Triton(code=code)) as lip_sync:
        with pytest.raises(error) as failed:
            await lip_sync.render(REQUEST)
    assert failed.value.stage == "animate"


async def test_one_call_that_fails_leaves_the_others_alone() -> None:
    triton = Triton(holds=True)
    async with rendering(triton) as lip_sync:
        good = asyncio.create_task(lip_sync.render(REQUEST))
        await requested(triton)
        triton.holds, triton.code = False, grpc.StatusCode.INTERNAL
        with pytest.raises(EngineUnavailable):
            await lip_sync.render(REQUEST)
        triton.code = None
        triton.released.set()
        assert len((await good).images) == 4
        assert len((await lip_sync.render(REQUEST)).images) == 4


async def test_a_bug_in_one_call_is_an_error_of_that_call_and_leaves_the_others_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    triton = Triton(holds=True)
    async with serving_triton(triton) as address, TritonCalls("animate", address, DEADLINE_S, 4) as calls:
        tensors = {"AVATAR": np.array([b"ada"], np.object_)}
        good = asyncio.create_task(calls.infer("musetalk", tensors, ("FRAMES",)))
        await asyncio.sleep(0)
        no_tensor: Any = None
        with pytest.raises(EngineUnavailable, match="AttributeError"):
            await calls.infer("musetalk", {"AVATAR": no_tensor}, ("FRAMES",))
        assert not good.done()
        triton.released.set()
        with pytest.raises(EngineUnavailable):  # this Triton misses the other tensors, and says so
            await good
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_triton_that_is_not_there_is_unavailable_and_not_ready() -> None:
    settings = TritonSettings.model_validate({"address": "127.0.0.1:1", "timeout_s": 5.0})
    async with TritonLipSync(settings) as lip_sync:
        assert await lip_sync.ready() is False
        with pytest.raises(EngineError):
            await lip_sync.render(REQUEST)


@pytest.mark.parametrize("model_ready", [True, False])
async def test_it_is_ready_when_the_model_is(model_ready: bool) -> None:
    async with rendering(Triton(model_ready=model_ready)) as lip_sync:
        assert await lip_sync.ready() is model_ready


async def test_no_more_calls_are_in_flight_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_lipsync, "MAX_IN_FLIGHT", 2)
    triton = Triton(holds=True)
    async with rendering(triton) as lip_sync:
        calls = [asyncio.create_task(lip_sync.render(REQUEST)) for _ in range(5)]
        refused, _ = await asyncio.wait(calls, timeout=DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
        assert refused
        triton.released.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert len(triton.requests) == 2
    assert sum(isinstance(outcome, EngineUnavailable) for outcome in outcomes) == 3
