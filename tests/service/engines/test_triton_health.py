"""Whether Triton really renders: asked at the start, watched from then on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from avatar_service import clock, metrics
from avatar_service.background import running
from avatar_service.engines import triton_health
from avatar_service.engines.triton_health import require_rendering, wait_for_model, watch
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.errors import EngineError, StartupError
from avatar_service.settings import TritonSettings
from tests.fakes.triton_server import Triton, serving_triton

KEY = "ada@" + "1" * 64
DEADLINE_S = 10.0


@asynccontextmanager
async def connected(triton: Triton) -> AsyncIterator[tuple[TritonLipSync, TritonSettings]]:
    async with serving_triton(triton) as address:
        settings = TritonSettings.model_validate({"address": address, "timeout_s": 0.5 if triton.holds else DEADLINE_S})
        async with TritonLipSync(settings) as lip_sync:
            yield lip_sync, settings


def ready() -> float:
    return metrics.REGISTRY.get_sample_value("avatar_triton_ready") or 0.0


async def until(wanted: float) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while ready() != wanted:
            await asyncio.sleep(0.01)


async def test_a_triton_that_renders_is_taken() -> None:
    triton = Triton()
    async with connected(triton) as (lip_sync, settings):
        await require_rendering(lip_sync, settings, KEY)
    (tensors,) = triton.requests
    assert tensors["AVATAR"] == KEY
    assert tensors["AUDIO"].shape == (1, 20_480)
    assert tensors["AUDIO_START"].tolist() == [[-16_000]]
    assert tensors["FRAME_START"].tolist() == [[16_000]]
    assert ready() == 1


async def test_a_start_waits_for_a_triton_that_is_still_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_health, "LOST_PROBE_S", 0.02)
    triton = Triton(model_ready=False)
    async with connected(triton) as (lip_sync, settings):
        waiting = asyncio.create_task(wait_for_model(lip_sync, settings.model_copy(update={"start_s": DEADLINE_S})))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        triton.model_ready = True
        assert await waiting


@pytest.mark.parametrize("start_s", [0.0, 0.2])
async def test_a_start_waits_no_longer_than_it_is_told(start_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_health, "LOST_PROBE_S", 0.02)
    async with connected(Triton(model_ready=False)) as (lip_sync, settings), asyncio.timeout(DEADLINE_S):
        assert not await wait_for_model(lip_sync, settings.model_copy(update={"start_s": start_s}))


@pytest.mark.parametrize(
    ("triton", "told"),
    [
        (Triton(model_ready=False), "AVATAR_TRITON_ADDRESS: no Triton with model 'musetalk'.*`avatar-service triton`"),
        (
            Triton(code=grpc.StatusCode.INVALID_ARGUMENT),
            "AVATAR_AVATARS: .* cannot render avatar 'ada' .told to fail.; give both",
        ),
        (Triton(code=grpc.StatusCode.INTERNAL), "AVATAR_TRITON_ADDRESS: .* does not render .*restart it"),
        (Triton(holds=True), "AVATAR_TRITON_ADDRESS: .* does not render .EngineTimeout.; restart it"),
    ],
    ids=["no model", "other avatars", "dead model", "hangs"],
)
async def test_one_that_does_not_is_refused_at_the_start(triton: Triton, told: str) -> None:
    async with connected(triton) as (lip_sync, settings):
        with pytest.raises(StartupError, match=told):
            await require_rendering(lip_sync, settings, KEY)


async def test_its_loss_and_its_return_are_noticed_without_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_health, "PROBE_S", 0.05)
    monkeypatch.setattr(triton_health, "LOST_PROBE_S", 0.02)
    triton = Triton()
    async with connected(triton) as (lip_sync, _), running(watch(lip_sync, KEY)):
        await until(1.0)
        triton.code = grpc.StatusCode.INTERNAL
        await until(0.0)
        triton.code = None
        await until(1.0)


async def test_a_triton_that_answers_users_is_not_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_health, "PROBE_S", 0.02)
    monkeypatch.setattr(triton_health, "LOST_PROBE_S", 0.02)
    triton = Triton()
    async with connected(triton) as (lip_sync, _):
        await lip_sync.probe(KEY)  # as a user's turn would ask
        answered_at_s = lip_sync.answered_at_s
        monkeypatch.setattr(clock, "now", lambda: answered_at_s + 0.01)  # the answer does not age
        async with running(watch(lip_sync, KEY)):
            await asyncio.sleep(0.2)
            assert len(triton.requests) == 1
            monkeypatch.setattr(clock, "now", lambda: answered_at_s + 0.03)
            async with asyncio.timeout(DEADLINE_S):
                while len(triton.requests) == 1:
                    await asyncio.sleep(0.01)


async def test_a_request_that_triton_refuses_says_nothing_of_its_health() -> None:
    triton = Triton()
    async with connected(triton) as (lip_sync, _):
        await lip_sync.probe(KEY)
        triton.code = grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(EngineError):
            await lip_sync.probe("nobody@0")
        assert ready() == 1
