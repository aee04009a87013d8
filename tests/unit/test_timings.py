"""The moments of a turn."""

import asyncio

import pytest

from avatar.v1 import TurnMetrics
from avatar_service import metrics
from avatar_service.timings import LATENCIES, Timings


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


async def test_latencies_are_those_whose_two_moments_came() -> None:
    timings = Timings()
    timings.mark("speech_ended")
    await asyncio.sleep(0.2)
    timings.mark("chat_started")
    await asyncio.sleep(0.3)
    timings.mark("first_audio_sent")
    assert timings.latencies_s() == pytest.approx({"time_to_first_audio": 0.5})
    timings.mark("first_token")
    timings.speech_s = 0.75
    latencies = timings.latencies_s()
    assert latencies == pytest.approx(
        {"time_to_first_audio": 0.5, "time_to_first_token": 0.3, "tts_generation_time": 0.75}
    )


async def test_the_whole_latency_is_that_of_the_later_of_voice_and_picture() -> None:
    timings = Timings()
    timings.mark("speech_ended")
    await asyncio.sleep(0.5)
    timings.mark("first_audio_sent")
    assert "total_latency" not in timings.latencies_s()
    assert timings.latencies_s(audio_only=True)["total_latency"] == pytest.approx(0.5)
    await asyncio.sleep(0.1)
    timings.mark("first_frame_sent")
    assert timings.latencies_s()["total_latency"] == pytest.approx(0.6)


def test_every_latency_of_the_contract_has_moments_and_a_metric() -> None:
    told = {field.name.removesuffix("_ms") for field in TurnMetrics.DESCRIPTOR.fields if field.name.endswith("_ms")}
    computed = {*LATENCIES, "tts_generation_time", "total_latency"}
    assert told - {"starved"} == computed == metrics.LATENCIES.keys()
