"""The moments of a turn."""

import asyncio

import pytest

from avatar_service.timings import Timings


async def test_the_time_between_two_moments_is_told() -> None:
    timings = Timings()
    timings.mark("chat_started")
    await asyncio.sleep(0.5)
    timings.mark("first_token")
    assert timings.between_s("chat_started", "first_token") == pytest.approx(0.5)


async def test_a_moment_is_noted_when_it_first_comes() -> None:
    timings = Timings()
    timings.mark("first_audio_sent")
    await asyncio.sleep(1.0)
    timings.mark("first_audio_sent")
    timings.mark("first_frame_sent")
    assert timings.between_s("first_audio_sent", "first_frame_sent") == pytest.approx(1.0)


async def test_what_did_not_come_has_no_time() -> None:
    timings = Timings()
    timings.mark("chat_started")
    assert timings.between_s("chat_started", "first_token") is None
    assert timings.between_s("first_token", "chat_started") is None


async def test_a_moment_may_lie_before_it_is_noted() -> None:
    timings = Timings()
    now_s = asyncio.get_running_loop().time()
    timings.mark("speech_ended", at_s=now_s - 0.7)
    timings.mark("turn_started")
    assert timings.between_s("speech_ended", "turn_started") == pytest.approx(0.7)
