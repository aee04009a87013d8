"""Pictures of silent avatars are fetched once and kept within a limit."""

import asyncio

import pytest

from avatar_service.engines.base import RenderRequest
from avatar_service.engines.loop_frames import CACHE_BYTES, LoopFrames
from avatar_service.errors import EngineUnavailable
from avatar_service.stages.spans import silent_request
from tests.fakes.lip_sync import FakeLipSync, image_of

ADA, BO = "ada@00", "bo@00"
BLOCK = range(8)


def silent(indices: range = BLOCK, avatar: str = ADA) -> RenderRequest:
    return silent_request(avatar, indices)


def speaking(indices: range = BLOCK) -> RenderRequest:
    weights = (0.0,) * (len(indices) - 1) + (0.25,)
    request = silent_request(ADA, indices)
    return RenderRequest(
        request.avatar, request.span, 0, request.frame_indices, request.frame_starts, weights, mel_max=0.75
    )


async def test_silent_pictures_are_fetched_once_and_come_in_the_order_that_is_asked_for() -> None:
    renderer = FakeLipSync()
    kept = LoopFrames(renderer)
    for indices in (range(8), range(8, 10), range(8), range(7, 3, -1), range(6, 10)):
        rendered = await kept.render(silent(indices))
        assert rendered.images == tuple(image_of(index, 0.0) for index in indices)
    assert len(renderer.requests) == 2


async def test_silence_leaves_the_running_maximum_as_it_is() -> None:
    kept = LoopFrames(FakeLipSync())
    assert [(await kept.render(silent())).mel_max for _ in range(2)] == [0.5, 0.5]


async def test_frames_in_which_the_mouth_moves_are_always_rendered() -> None:
    renderer = FakeLipSync()
    kept = LoopFrames(renderer)
    rendered = [await kept.render(speaking()) for _ in range(2)]
    assert [len(renderer.requests), kept.kept_bytes] == [2, 0]
    assert [answer.mel_max for answer in rendered] == [1.0, 1.0]
    assert rendered[0].images[-1] == image_of(7, 0.25)


async def test_avatars_are_told_apart() -> None:
    renderer = FakeLipSync()
    kept = LoopFrames(renderer)
    for avatar in (ADA, BO, ADA, BO):
        await kept.render(silent(avatar=avatar))
    assert [request.avatar for request in renderer.requests] == [ADA, BO]


async def test_sessions_that_want_the_same_at_the_same_time_share_one_call() -> None:
    renderer = FakeLipSync(render_s=0.1)
    kept = LoopFrames(renderer)
    rendered = await asyncio.gather(*(kept.render(silent()) for _ in range(50)))
    assert len(renderer.requests) == 1
    assert len({answer.images for answer in rendered}) == 1


async def test_a_shared_call_that_fails_fails_for_all_and_is_made_again() -> None:
    renderer = FakeLipSync(fails=range(1))
    kept = LoopFrames(renderer)
    failures = await asyncio.gather(*(kept.render(silent()) for _ in range(3)), return_exceptions=True)
    assert [type(failure) for failure in failures] == [EngineUnavailable] * 3
    assert len((await kept.render(silent())).images) == 8
    assert len(renderer.requests) == 2


async def test_when_the_session_that_made_the_call_ends_another_takes_it_over() -> None:
    renderer = FakeLipSync(hangs=range(1))
    kept = LoopFrames(renderer)
    first, second, third = (asyncio.create_task(kept.render(silent())) for _ in range(3))
    await asyncio.sleep(0.1)
    first.cancel()
    assert (await second).images == (await third).images
    assert len(renderer.requests) == 2


async def test_the_least_recently_used_are_dropped_above_the_limit() -> None:
    renderer = FakeLipSync(image_bytes=100)
    kept = LoopFrames(renderer, limit_bytes=1_600)
    await kept.render(silent(range(8)))
    await kept.render(silent(range(8, 16)))
    await kept.render(silent(range(8)))
    await kept.render(silent(range(16, 20)))
    assert kept.kept_bytes == 1_600
    asked = len(renderer.requests)
    await kept.render(silent(range(8)))
    await kept.render(silent(range(12, 20)))
    assert len(renderer.requests) == asked
    await kept.render(silent(range(8, 12)))
    assert len(renderer.requests) == asked + 1


@pytest.mark.parametrize("pictures", [1, 2])
async def test_one_that_is_larger_than_the_limit_is_given_all_the_same(pictures: int) -> None:
    kept = LoopFrames(FakeLipSync(image_bytes=100), limit_bytes=50)
    assert len((await kept.render(silent(range(pictures)))).images) == pictures
    assert kept.kept_bytes == 0


def test_the_limit_is_stated_in_bytes() -> None:
    assert CACHE_BYTES == 64 * 1024 * 1024
