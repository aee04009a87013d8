"""Encodings of frames on the wire: what a client decodes is what the renderer made."""

import itertools
import json
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from avatar.v1 import FrameEncoding, FrameFormat
from tests.animating import own_voice
from tests.fakes.lip_sync import FakeLipSync
from tests.fakes.speech import FakeSpeech
from tests.pictures import h264_frames, jpeg, pixels_of, psnr_db
from tests.service.calls import DESCRIBED, Fakes, Server, serving
from tests.service.responses import Responses

RAW, H264 = FrameEncoding.FRAME_ENCODING_RAW, FrameEncoding.FRAME_ENCODING_H264
TEXT = "The moon is near."
UNPACED = {"unpaced": True}
HALF_A_SECOND = Duration(nanos=500_000_000)


@asynccontextmanager
async def filming(store: Path, picture: Any = jpeg) -> AsyncIterator[Server]:
    """A server whose renderer makes real pictures."""
    fakes = Fakes(lip_sync=FakeLipSync(picture=picture), speech=FakeSpeech(ttfb_s=0.0, rate=100.0))
    async with serving(store, fakes) as server:
        yield server


def check_h264(call: Responses[Any], turn_id: int = 1, keyframe_each: int = 50) -> None:
    """A turn's frames can be decoded from their first one on, and are the renderer's."""
    frames = [frame for frame in call.all("frame") if frame.turn_id == turn_id]
    assert len(frames) > 20
    decoded = h264_frames([frame.data for frame in frames])
    for frame, shown in zip(frames, decoded, strict=True):
        assert psnr_db(pixels_of(jpeg(frame.loop_index)), shown.to_ndarray(format="rgb24")) > 34
    assert [frame.keyframe for frame in frames] == [not index % keyframe_each for index in range(len(frames))]


async def test_a_text_is_shown_in_raw_frames(store: Path) -> None:
    async with filming(store) as server:
        call = server.speak(TEXT, frame_format={"encoding": RAW}, pacing=UNPACED)
        assert await call.end() is grpc.StatusCode.OK
    frames = call.all("frame")
    assert len(frames) > 20
    assert all(frame.data == pixels_of(jpeg(frame.loop_index)).tobytes() and frame.keyframe for frame in frames)
    told = call.only("speak_started").config.frame_format
    assert (told.encoding, told.width, told.height) == (RAW, 512, 512)
    assert (told.jpeg_quality, told.bits_per_second, told.HasField("keyframe_interval")) == (0, 0, False)


async def test_a_text_is_shown_in_h264(store: Path) -> None:
    async with filming(store) as server:
        wanted = FrameFormat(encoding=H264, bits_per_second=2_000_000, keyframe_interval=HALF_A_SECOND)
        call = server.speak(TEXT, frame_format=wanted, pacing=UNPACED)
        assert await call.end() is grpc.StatusCode.OK
    check_h264(call, keyframe_each=12)
    told = call.only("speak_started").config.frame_format
    assert (told.encoding, told.bits_per_second) == (H264, 2_000_000)
    assert (told.keyframe_interval, told.jpeg_quality) == (HALF_A_SECOND, 0)


async def test_a_callers_own_voice_is_shown_in_h264_segment_by_segment(store: Path) -> None:
    async with filming(store) as server:
        call = server.animate()
        await call.configure(frame_format={"encoding": H264}, pacing=UNPACED)
        for _ in range(2):
            await call.voice(own_voice(1.5))
            await call.end_segment()
        assert await call.finish() is grpc.StatusCode.OK
    check_h264(call, 1)
    check_h264(call, 2)


async def test_each_turn_of_a_conversation_begins_with_a_key_frame(store: Path) -> None:
    async with filming(store) as server:
        call = server.converse()
        await call.configure(frame_format={"encoding": H264})
        await call.say(TEXT)
        await call.say(TEXT)
        assert await call.finish() is grpc.StatusCode.OK
    told = call.only("session_started").config.frame_format
    assert (told.bits_per_second, told.keyframe_interval.ToMilliseconds()) == (1_000_000, 2_000)
    check_h264(call, 1)
    check_h264(call, 2)


async def test_pictures_that_cannot_be_encoded_fail_the_turn_and_name_the_stage(store: Path) -> None:
    async with filming(store, picture=lambda index: b"no picture") as server:
        call = server.speak(TEXT, frame_format={"encoding": H264}, pacing=UNPACED)
        await call.end()
    status = call.only("turn_completed").status
    assert status.error_info.reason == "ENCODING_FAILED"
    assert "encode" in status.message
    assert call.all("frame") == []


async def test_raw_frames_above_what_one_may_have_are_refused(store: Path) -> None:
    (store / "cinema").mkdir()
    described = DESCRIBED | {"id": "cinema", "width": 1_280, "height": 720}
    (store / "cinema" / "avatar.json").write_text(json.dumps(described))
    async with filming(store) as server:
        call = server.speak(TEXT, avatar="cinema", frame_format={"encoding": RAW})
        assert await call.end() is grpc.StatusCode.UNIMPLEMENTED
        status = await call.status()
    assert status.error_info.reason == "FORMAT_UNSUPPORTED"
    for part in ("frame_format.encoding", "1280 x 720", "2,764,800", "1,048,576", "JPEG or H264"):
        assert part in status.message


@pytest.mark.parametrize(
    ("wanted", "field", "parts"),
    [
        ({"encoding": H264, "bits_per_second": 99_999}, "bits_per_second", ["100000"]),
        ({"encoding": H264, "bits_per_second": 20_000_001}, "bits_per_second", ["2e+07"]),
        ({"encoding": H264, "keyframe_interval": Duration(nanos=100_000_000)}, "keyframe_interval", ["0.2 to 10 s"]),
        ({"encoding": H264, "jpeg_quality": 80}, "jpeg_quality", ["JPEG alone"]),
        ({"bits_per_second": 1_000_000}, "bits_per_second", ["H264 alone"]),
        ({"encoding": RAW, "keyframe_interval": HALF_A_SECOND}, "keyframe_interval", ["H264 alone"]),
    ],
)
async def test_options_out_of_range_or_of_another_encoding_are_refused(
    store: Path, wanted: dict[str, Any], field: str, parts: list[str]
) -> None:
    async with filming(store) as server:
        call = server.speak(TEXT, frame_format=wanted)
        assert await call.end() is grpc.StatusCode.INVALID_ARGUMENT
        status = await call.status()
    assert status.field == f"frame_format.{field}"
    assert all(part in status.message for part in parts), status.message


async def test_idle_frames_stand_between_turns_with_a_clock_of_their_own(store: Path) -> None:
    async with filming(store) as server:
        call = server.converse()
        await call.configure(idle_frames=True, frame_format={"encoding": H264})
        assert call.only("session_started").config.idle_frames is True
        await call.until("frame", lambda frame: frame.index == 10)
        await call.say(TEXT)
        await call.until("turn_completed")
        await call.until("frame", lambda frame: frame.index == 10)
        assert await call.finish() is grpc.StatusCode.OK
    frames = call.all("frame")
    phases = [list(phase) for _, phase in itertools.groupby(frames, key=lambda frame: frame.turn_id)]
    assert [phase[0].turn_id for phase in phases] == [0, 1, 0]
    for phase in phases:
        assert [frame.keyframe for frame in phase][:20] == [True] + [False] * (len(phase[:20]) - 1)
        assert [frame.offset.ToMilliseconds() for frame in phase] == [40 * frame.index for frame in phase]
    assert phases[1][0].loop_index == (phases[0][-1].loop_index + 1) % 10
    for frame, shown in zip(frames, h264_frames([frame.data for frame in frames]), strict=True):
        assert psnr_db(pixels_of(jpeg(frame.loop_index)), shown.to_ndarray(format="rgb24")) > 34


@pytest.mark.parametrize(("unpaced", "served"), [(False, True), (True, False)])
async def test_a_caller_is_told_whether_there_are_idle_frames(store: Path, unpaced: bool, served: bool) -> None:
    async with filming(store) as server:
        call = server.animate()
        await call.configure(idle_frames=True, pacing={"unpaced": unpaced})
        if served:
            await call.until("frame", lambda frame: frame.index == 5)
        assert await call.finish() is grpc.StatusCode.OK
    assert call.only("animate_started").config.idle_frames is served
    assert bool(call.all("frame")) is served


async def test_the_threads_that_encode_end_with_the_server(store: Path) -> None:
    async with filming(store) as server:
        call = server.speak(TEXT, frame_format={"encoding": H264}, pacing=UNPACED)
        assert await call.end() is grpc.StatusCode.OK
        encoding = [thread for thread in threading.enumerate() if thread.name.startswith("encode")]
        assert 1 <= len(encoding) <= len(os.sched_getaffinity(0))
    assert not any(thread.is_alive() for thread in encoding)
