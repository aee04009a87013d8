"""Whatever a Triton answers, or does not: one request's frames are lost, and the next request is well."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from avatar_service import metrics
from avatar_service.background import running
from avatar_service.engines import triton_calls, triton_health
from avatar_service.engines.triton_health import watch
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.errors import EngineError, EngineTimeout, EngineUnavailable
from avatar_service.errors import Fault as Kind
from avatar_service.settings import TritonSettings
from tests.fakes.triton_server import Fault, Triton, serving_triton
from tests.service.engines.test_triton_lipsync import REQUEST

DEADLINE_S = 10.0
KINDS = {
    Fault.UNAVAILABLE: Kind.CONNECTION,
    Fault.STUB_DEAD: Kind.OVERLOADED,
    Fault.UNLOADED: Kind.OVERLOADED,
    Fault.OUT_OF_MEMORY: Kind.OVERLOADED,
    Fault.QUEUE_FULL: Kind.OVERLOADED,
    Fault.HANG: Kind.TIMEOUT,
    Fault.SLOW: Kind.TIMEOUT,
    Fault.NO_FRAMES: Kind.MALFORMED,
    Fault.NO_MAXIMUM: Kind.MALFORMED,
    Fault.WRONG_SHAPE: Kind.MALFORMED,
    Fault.TOO_FEW_FRAMES: Kind.MALFORMED,
    Fault.NOT_JPEG: Kind.MALFORMED,
    Fault.NOT_A_NUMBER: Kind.MALFORMED,
    Fault.CUT_TENSOR: Kind.MALFORMED,
}


@asynccontextmanager
async def rendering(triton: Triton, timeout_s: float = 0.3) -> AsyncIterator[TritonLipSync]:
    settings: dict[str, Any] = {"timeout_s": timeout_s}
    async with (
        serving_triton(triton) as address,
        TritonLipSync(TritonSettings.model_validate(settings | {"address": address})) as lip_sync,
    ):
        yield lip_sync
        triton.released.set()


def ready() -> float | None:
    return metrics.REGISTRY.get_sample_value("avatar_triton_ready")


def faults(kind: Kind) -> float:
    labels = {"stage": "animate", "engine": "triton", "fault": kind.value}
    return metrics.REGISTRY.get_sample_value("avatar_engine_faults_total", labels) or 0.0


def test_every_fault_is_tried() -> None:
    assert set(KINDS) == set(Fault)


@pytest.mark.parametrize(("fault", "kind"), KINDS.items())
async def test_a_fault_costs_one_request(fault: Fault, kind: Kind) -> None:
    triton = Triton(script=[None, fault, fault if kind is Kind.CONNECTION else None], slow_s=0.45)
    before = faults(kind)
    async with rendering(triton) as lip_sync:
        await lip_sync.render(REQUEST)
        with pytest.raises(EngineError) as failed:
            await lip_sync.render(REQUEST)
        assert (failed.value.fault, failed.value.stage, failed.value.engine) == (kind, "animate", "triton")
        assert failed.value.retryable
        assert (ready(), lip_sync.fails) == (0, True)
        assert faults(kind) > before
        assert len((await lip_sync.render(REQUEST)).images) == len(REQUEST.frame_indices)
        assert (ready(), lip_sync.fails) == (1, False)
    assert triton.cancelled == 0


async def test_a_request_whose_connection_breaks_is_sent_again_at_once() -> None:
    """It keeps nothing in the server, so any server may answer it."""
    triton = Triton(script=[Fault.UNAVAILABLE])
    async with rendering(triton) as lip_sync:
        assert len((await lip_sync.render(REQUEST)).images) == 4
    first, second = triton.requests
    assert str(first) == str(second)


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.STUB_DEAD])
async def test_it_is_sent_again_once_and_only_for_that(fault: Fault) -> None:
    triton = Triton(fault=fault)
    async with rendering(triton) as lip_sync:
        with pytest.raises(EngineUnavailable):
            await lip_sync.render(REQUEST)
    assert len(triton.requests) == (2 if fault is Fault.UNAVAILABLE else 1)


async def test_a_request_whose_connection_breaks_late_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar_service.engines.triton_lipsync.RESENT_WITHIN_S", 0.05)
    triton = Triton(fault=Fault.UNAVAILABLE, delay_s=0.1)
    async with rendering(triton) as lip_sync:
        with pytest.raises(EngineUnavailable):
            await lip_sync.render(REQUEST)
    assert len(triton.requests) == 1


async def test_a_triton_that_is_gone_is_found_within_a_second_of_its_return() -> None:
    triton = Triton()
    async with rendering(triton) as lip_sync:
        await lip_sync.render(REQUEST)
        await triton.leave()
        end_s = asyncio.get_running_loop().time() + 2.0
        while asyncio.get_running_loop().time() < end_s:  # long enough for waits to grow, if they did
            with pytest.raises(EngineUnavailable):
                await lip_sync.render(REQUEST)
            await asyncio.sleep(0.1)
        await triton.come_back()
        back_s = asyncio.get_running_loop().time()
        while lip_sync.fails:
            assert asyncio.get_running_loop().time() - back_s < 3.0, "gRPC's own waits would be longer"
            await asyncio.sleep(0.1)
            try:
                await lip_sync.render(REQUEST)
            except EngineUnavailable:
                continue


async def test_calls_that_hang_give_their_places_back_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_calls, "ABANDONED_S", 0.2)
    monkeypatch.setattr("avatar_service.engines.triton_lipsync.MAX_IN_FLIGHT", 2)
    triton = Triton(fault=Fault.HANG)
    async with rendering(triton, timeout_s=0.1) as lip_sync:
        for _ in range(2):
            with pytest.raises(EngineTimeout):
                await lip_sync.render(REQUEST)
        with pytest.raises(EngineUnavailable, match="2 calls are in flight"):
            await lip_sync.render(REQUEST)
        triton.fault = None
        async with asyncio.timeout(DEADLINE_S):
            while lip_sync.fails:
                await asyncio.sleep(0.05)
                try:
                    await lip_sync.render(REQUEST)
                except EngineUnavailable:
                    continue


async def test_a_request_that_nobody_waits_for_any_more_tells_of_a_hanging_triton(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("avatar_service.engines.triton_lipsync.UNANSWERED_S", 0.1)
    triton = Triton(script=[None, Fault.HANG, Fault.HANG])
    async with rendering(triton, timeout_s=5.0) as lip_sync:
        await lip_sync.render(REQUEST)
        for waited_s, fails in ((0.02, False), (0.15, True)):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(waited_s):
                    await lip_sync.render(REQUEST)
            assert lip_sync.fails is fails
        assert ready() == 0


async def test_a_failure_that_a_turn_meets_is_followed_by_probes_until_it_is_mended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(triton_health, "LOST_PROBE_S", 0.05)
    triton = Triton()
    async with rendering(triton) as lip_sync, running(watch(lip_sync, REQUEST.avatar)):
        await lip_sync.render(REQUEST)
        await asyncio.sleep(0.2)
        assert len(triton.requests) == 1, "a Triton that answers is left alone"
        triton.fault = Fault.STUB_DEAD
        with pytest.raises(EngineUnavailable):
            await lip_sync.render(REQUEST)
        async with asyncio.timeout(DEADLINE_S):
            while len(triton.requests) < 5:
                await asyncio.sleep(0.01)
            triton.fault = None
            while ready() != 1:
                await asyncio.sleep(0.01)
