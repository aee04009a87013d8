"""The caller's own voice over a real socket."""

import asyncio
import math
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from avatar.v1 import AudioEncoding, Code, FrameEncoding, InterruptionReason, NoticeReason
from tests.animating import own_voice
from tests.fakes.lip_sync import FakeLipSync
from tests.service.calls import AnimateCall, Fakes, serving
from tests.service.responses import DEADLINE_S

MESSAGE_33_MS = 2 * 24_000 * 33 // 1000
UNPACED = {"unpaced": True}


def voice_of(call: AnimateCall, segment_id: int = 1) -> bytes:
    return b"".join(audio.data for audio in call.all("audio") if audio.turn_id == segment_id)


def pictures_of(call: AnimateCall, segment_id: int = 1) -> list[bytes]:
    return [frame.data for frame in call.all("frame") if frame.turn_id == segment_id]


async def animated(store: Path, voice: bytes, message_bytes: int, **config: Any) -> AnimateCall:
    """A call of one segment, from lip-sync whose pictures tell what they were rendered from."""
    async with serving(store, Fakes(lip_sync=FakeLipSync(hashes=True))) as server:
        call = server.animate()
        await call.configure(**config)
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(call.voice(voice, message_bytes=message_bytes))
            sending.add_done_callback(lambda _: tasks.create_task(call.call.done_writing()))
            assert await call.end() is grpc.StatusCode.OK
    return call


async def test_messages_of_33_ms_give_the_same_bits_as_large_ones(store: Path) -> None:
    voice = own_voice(2.57)
    small = await animated(store, voice, MESSAGE_33_MS, pacing=UNPACED)
    large = await animated(store, voice, 60_000, pacing=UNPACED)
    assert voice_of(small) == voice_of(large) == voice + bytes(-len(voice) % 1_920)
    assert pictures_of(small) == pictures_of(large)
    assert len(pictures_of(small)) == math.ceil(2.57 * 25)


async def test_paced_media_are_those_of_unpaced_ones(store: Path) -> None:
    voice = own_voice(1.51)
    unpaced = await animated(store, voice, MESSAGE_33_MS, pacing=UNPACED)
    paced = await animated(store, voice, MESSAGE_33_MS)
    assert voice_of(paced) == voice_of(unpaced)
    pictures = {frame.index: frame.data for frame in unpaced.all("frame")}
    came = {frame.index: frame.data for frame in paced.all("frame")}
    assert came
    assert came.items() <= pictures.items()


async def test_a_segment_as_the_contract_tells_it(store: Path) -> None:
    async with serving(store) as server:
        call = server.animate()
        await call.configure(avatar="avatars/bo", end_user_id="user-1", metadata={"tenant": "t1"})
        await call.voice(own_voice(0.5))
        await call.end_segment()
        completed = await call.until("segment_completed")
        assert await call.finish() is grpc.StatusCode.OK
    started = call.only("animate_started")
    assert call.kinds[0] == "animate_started"
    config = started.config
    assert (config.avatar, config.end_user_id, dict(config.metadata)) == ("avatars/bo", "user-1", {"tenant": "t1"})
    assert config.audio_format.encoding == AudioEncoding.AUDIO_ENCODING_LINEAR16
    assert config.audio_format.sample_rate_hertz == 24_000
    assert (config.frame_format.encoding, config.frame_format.jpeg_quality) == (FrameEncoding.FRAME_ENCODING_JPEG, 80)
    assert config.frame_format.frame_rate.numerator == 25
    assert (config.pacing.lead.ToMilliseconds(), config.HasField("idle_frames"), config.idle_frames) == (
        1000,
        True,
        False,
    )
    assert (started.frame_width, started.frame_height) == (512, 512)
    assert started.limits.max_buffered_audio.ToMilliseconds() == 30_000
    assert call.only("segment_started").segment_id == 1
    assert call.only("segment_finished").media_duration.ToMilliseconds() == 520
    assert completed.segment_id == 1
    assert completed.status.code == Code.CODE_OK
    assert not completed.degraded
    assert completed.usage.sent_audio.ToMilliseconds() == 520
    assert completed.usage.rendered_frame_count == 13
    assert completed.metrics.sent_frame_count + completed.metrics.held_frame_count == 13
    assert completed.metrics.sent_frame_count == len(call.all("frame"))
    assert completed.metrics.time_to_first_frame_ms <= completed.metrics.total_latency_ms
    assert completed.metrics.HasField("first_render_time_ms")
    order = ["segment_started", "audio", "frame", "segment_finished", "segment_completed"]
    assert [call.kinds.index(kind) for kind in order] == sorted(call.kinds.index(kind) for kind in order)
    for index, audio in enumerate(call.all("audio")):
        assert (audio.turn_id, audio.index, audio.sample_count) == (1, index, 960)
    for media in (*call.all("audio"), *call.all("frame")):
        assert (media.turn_id, media.offset.ToNanoseconds()) == (1, media.index * 40_000_000)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
async def test_the_voice_comes_back_at_its_own_rate(store: Path, rate_hz: int) -> None:
    voice = own_voice(0.7, rate_hz=rate_hz)
    call = await animated(store, voice, 7_000, audio_format={"sample_rate_hertz": rate_hz}, pacing=UNPACED)
    assert voice_of(call)[: len(voice)] == voice
    assert not any(voice_of(call)[len(voice) :])
    assert sum(audio.sample_count for audio in call.all("audio")) == 18 * rate_hz // 25
    assert len(pictures_of(call)) == 18


async def test_segments_on_one_stream(store: Path) -> None:
    async with serving(store, Fakes(lip_sync=FakeLipSync(hashes=True))) as server:
        call = server.animate()
        await call.configure(pacing=UNPACED)
        for seed in range(3):
            await call.voice(own_voice(0.5, seed=seed))
            await call.end_segment()
        assert await call.finish() is grpc.StatusCode.OK
    assert [segment.segment_id for segment in call.all("segment_completed")] == [1, 2, 3]
    for seed in range(3):
        assert voice_of(call, seed + 1)[:24_000] == own_voice(0.5, seed=seed)
        assert len(pictures_of(call, seed + 1)) == 13


async def test_an_interrupt_is_answered_within_100_ms_and_no_media_follow(store: Path) -> None:
    """The best of three counts: another process may hold one of them up."""
    waited_s, told_ms = [], []
    async with serving(store) as server:
        call = server.animate()
        await call.configure()
        for segment_id in (1, 2, 3):
            await call.voice(own_voice(5.0))
            while (await call.until("audio", lambda audio: audio.index >= 5)).turn_id < segment_id:
                pass
            asked_s = asyncio.get_running_loop().time()
            await call.interrupt()
            interrupted = await call.until("interrupted")
            waited_s.append(call.times_s[-1] - asked_s)
            reason = InterruptionReason.INTERRUPTION_REASON_REQUESTED
            assert (interrupted.turn_id, interrupted.reason) == (segment_id, reason)
            completed = await call.until("segment_completed")
            assert call.kinds[-2:] == ["interrupted", "segment_completed"]
            assert completed.status.code == Code.CODE_CANCELLED
            told_ms.append(completed.metrics.interruption_time_ms)
        assert await call.finish() is grpc.StatusCode.OK
    assert min(waited_s) < 0.1
    assert min(told_ms) <= 100
    assert call.kinds[-1] == "segment_completed"
    last = {audio.turn_id: index for index, audio in enumerate(call.all("audio"))}
    assert list(last) == [1, 2, 3], "media of a segment come together"


async def test_reports_and_interrupts_of_nothing_harm_nobody(store: Path) -> None:
    async with serving(store) as server:
        call = server.animate()
        await call.configure()
        await call.interrupt()
        assert (await call.until("notice")).reason == NoticeReason.NOTICE_REASON_REQUEST_IGNORED
        await call.send(playback_report={"turn_id": 1, "position": Duration(seconds=5)})
        await call.voice(own_voice(0.2))
        await call.send(playback_report={"turn_id": 1, "position": Duration(seconds=10**9)})
        assert await call.finish() is grpc.StatusCode.OK
    assert call.only("segment_completed").status.code == Code.CODE_OK


async def test_a_client_that_vanishes_leaves_nothing(store: Path) -> None:
    fakes = Fakes(lip_sync=FakeLipSync(render_s=0.01))
    async with serving(store, fakes) as server:
        before = len(asyncio.all_tasks())
        call = server.animate()
        await call.configure()
        await call.voice(own_voice(10.0))
        await call.until("frame")
        call.call.cancel()
        async with asyncio.timeout(DEADLINE_S):
            while len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("config", "code", "reason", "field", "words"),
    [
        ({"audio_format": {"sample_rate_hertz": 4_000}}, "INVALID_ARGUMENT", "FIELD_INVALID",
         "config.audio_format.sample_rate_hertz", ["4000", "8000 to 48000"]),
        ({"audio_format": {"encoding": 2, "sample_rate_hertz": 16_000}}, "INVALID_ARGUMENT", "FIELD_INVALID",
         "config.audio_format.sample_rate_hertz", ["MULAW has 8000"]),
        ({"pacing": {"lead": Duration(seconds=9)}}, "INVALID_ARGUMENT", "FIELD_INVALID", "config.pacing.lead", ["5 s"]),
        ({"end_user_id": "x" * 129}, "INVALID_ARGUMENT", "TEXT_TOO_LONG", "config.end_user_id", ["128"]),
        ({"avatar": "avatars/nobody"}, "NOT_FOUND", "AVATAR_NOT_FOUND", "", ["config.avatar", "ada, bo"]),
        ({"audio_format": {"encoding": 3}}, "UNIMPLEMENTED", "FORMAT_UNSUPPORTED", "",
         ["config.audio_format.encoding", "LINEAR16, MULAW"]),
        ({"frame_format": {"encoding": 9}}, "UNIMPLEMENTED", "FORMAT_UNSUPPORTED", "",
         ["config.frame_format.encoding", "JPEG, RAW, H264"]),
        ({"idle_timeout": Duration(seconds=60)}, "UNIMPLEMENTED", "FEATURE_UNSUPPORTED", "", ["config.idle_timeout"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)  # fmt: skip
async def test_a_configuration_that_is_wrong_or_not_served_is_refused_by_name(
    store: Path, config: dict[str, Any], code: str, reason: str, field: str, words: list[str]
) -> None:
    async with serving(store) as server:
        call = server.animate()
        await call.send(config=config)
        assert (await call.end()).name == code
        status = await call.status()
    assert (status.error_info.reason, status.field) == (reason, field)
    assert not [word for word in words if word not in status.message]


BACKWARDS = {"turn_id": 1, "position": Duration(seconds=-1)}


@pytest.mark.parametrize(
    ("payloads", "reason", "field"),
    [
        ([{"audio": {"data": b"ab"}}], "CONFIG_EXPECTED", "config"),
        ([], "CONFIG_EXPECTED", "config"),
        ([{"config": {}}, {"config": {}}], "CONFIG_REPEATED", "config"),
        ([{"config": {}}, {"audio": {"data": b"abc"}}], "FIELD_INVALID", "audio.data"),
        ([{"config": {}}, {"audio": {}}], "FIELD_INVALID", "audio.data"),
        ([{"config": {}}, {"playback_report": BACKWARDS}], "FIELD_INVALID", "playback_report.position"),
        ([{"config": {}}, {}], "MESSAGE_EMPTY", ""),
    ],
)
async def test_a_wrong_message_ends_the_stream(
    store: Path, payloads: list[dict[str, Any]], reason: str, field: str
) -> None:
    async with serving(store) as server:
        call = server.animate()
        for payload in payloads:
            await call.send(**payload)
        if not payloads:
            await call.call.done_writing()
        assert await call.end() is grpc.StatusCode.INVALID_ARGUMENT
        status = await call.status()
    assert (status.error_info.reason, status.field) == (reason, field)


async def test_a_stream_of_its_own_voice_takes_a_place(store: Path) -> None:
    async with serving(store, max_sessions=1) as server:
        first = server.animate()
        await first.configure()
        second, third = server.animate(), server.speak("Hello.")
        for refused in (second, third):
            assert await refused.end() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (await refused.status()).error_info.reason == "SESSIONS_EXHAUSTED"
        async with asyncio.timeout(DEADLINE_S):
            assert await first.finish() is grpc.StatusCode.OK
