"""A caller's own voice through the real service and a real Triton."""

import asyncio
import io
import math
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import simplejpeg

from avatar.v1 import AvatarServiceStub, Code, FrameEncoding
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.engines.base import Engines
from avatar_service.engines.loop_frames import LoopFrames
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.local.triton import TritonServer
from avatar_service.rpc.server import running_server
from avatar_service.settings import ServerSettings, Settings, TritonSettings
from tests.fakes.chat import FakeChat
from tests.fakes.speech import FakeSpeech
from tests.fakes.transcriber import FakeTranscriber
from tests.fakes.voice_activity import FakeVoiceActivity
from tests.inference_data import FRAME_SIZE, speech
from tests.integration.conftest import MadeUpModel
from tests.pictures import h264_frames
from tests.service.calls import AnimateCall

RATE_HZ = 24_000
DURATION_S = 2.57
MESSAGE_33_MS = 2 * RATE_HZ * 33 // 1000


def wav_voice() -> bytes:
    """The samples of a WAV file as a caller reads them: speech-like bursts, a pause, and bursts again."""
    samples = speech(round(DURATION_S * RATE_HZ), seed=3)
    samples[RATE_HZ : RATE_HZ * 3 // 2] = 0
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 2, RATE_HZ, len(samples), "NONE", ""))
        written.writeframes(samples.tobytes())
    file.seek(0)
    with wave.open(file) as read:
        pcm: bytes = read.readframes(read.getnframes())
    return pcm


@asynccontextmanager
async def serving(triton: TritonServer, made_up: MadeUpModel) -> AsyncIterator[Callable[[], AnimateCall]]:
    """The service before Triton; yields what opens a call."""
    settings = replace(Settings.load(env_file=None), server=ServerSettings.model_validate({"listen": "127.0.0.1:0"}))
    async with TritonLipSync(TritonSettings.model_validate({"address": triton.grpc_address})) as lip_sync:
        engines = Engines(FakeVoiceActivity(), FakeTranscriber(), FakeChat(), FakeSpeech(), LoopFrames(lip_sync))
        async with (
            running_server(settings, engines, Catalogue.load(made_up.avatars)) as address,
            grpc.aio.insecure_channel(address) as channel,
        ):
            animate: Any = AvatarServiceStub(channel).Animate  # typed as if the requests were given beforehand
            yield lambda: AnimateCall(animate())


async def animated(triton: TritonServer, made_up: MadeUpModel, *splits: int) -> list[AnimateCall]:
    """One call after the other, each sending the voice in messages of so many bytes."""
    calls = []
    async with serving(triton, made_up) as open_call:
        for message_bytes in splits:
            call = open_call()
            await call.configure(avatar="avatars/bo", pacing={"unpaced": True})
            await call.voice(wav_voice(), message_bytes=message_bytes)
            assert await call.finish() is grpc.StatusCode.OK
            calls.append(call)
    return calls


async def idled(triton: TritonServer, made_up: MadeUpModel, encoding: FrameEncoding.ValueType) -> AnimateCall:
    """A call whose caller speaks for half a second after a second of silence, and stays for as long after it."""
    async with serving(triton, made_up) as open_call:
        call = open_call()
        await call.configure(avatar="avatars/bo", idle_frames=True, frame_format={"encoding": encoding})
        await call.until("frame", lambda frame: frame.index == 25)
        await call.voice(wav_voice()[:RATE_HZ])
        await call.end_segment()
        await call.until("segment_completed")
        await call.until("frame", lambda frame: frame.index == 25)
        assert await call.finish() is grpc.StatusCode.OK
    return call


def test_a_wav_in_messages_of_33_ms_gives_the_same_bits_as_in_large_ones(
    runner: asyncio.Runner, triton: TritonServer, made_up: MadeUpModel
) -> None:
    small, large = runner.run(animated(triton, made_up, MESSAGE_33_MS, 60_000))
    for call in (small, large):
        completed = call.only("segment_completed")
        assert completed.status.code == Code.CODE_OK
        assert not completed.degraded
        assert [frame.index for frame in call.all("frame")] == list(range(math.ceil(DURATION_S * 25)))
        assert 0 < completed.usage.rendered_frame_count < len(call.all("frame")), "the pause is not rendered"
    assert [frame.data for frame in small.all("frame")] == [frame.data for frame in large.all("frame")]
    voices = [b"".join(audio.data for audio in call.all("audio")) for call in (small, large)]
    assert voices[0] == voices[1] == wav_voice() + bytes(-len(wav_voice()) % 1_920)


def test_the_mouth_moves_with_the_voice_and_rests_in_its_pause(
    runner: asyncio.Runner, triton: TritonServer, made_up: MadeUpModel
) -> None:
    (call,) = runner.run(animated(triton, made_up, 60_000))
    own = {path.read_bytes() for path in (made_up.avatars / "bo" / "frames").glob("*.jpg")}
    resting = {frame.index for frame in call.all("frame") if frame.data in own}
    assert resting & set(range(29, 35)), "in the pause the avatar's own picture is shown"
    assert not resting & set(range(4, 22)), "in the voice it is not"
    assert simplejpeg.decode_jpeg(call.all("frame")[10].data).shape == (FRAME_SIZE, FRAME_SIZE, 3)


def test_the_silent_avatar_is_shown_before_and_after_a_segment(
    runner: asyncio.Runner, triton: TritonServer, made_up: MadeUpModel
) -> None:
    call = runner.run(idled(triton, made_up, FrameEncoding.FRAME_ENCODING_JPEG))
    own = [path.read_bytes() for path in sorted((made_up.avatars / "bo" / "frames").glob("*.jpg"))]
    loop = own + own[-2:0:-1]
    idle = [frame for frame in call.all("frame") if frame.turn_id == 0]
    assert len(idle) > 50
    assert all(frame.data == loop[frame.loop_index] for frame in idle)
    spoken = [frame for frame in call.all("frame") if frame.turn_id == 1]
    last_before = idle[[frame.index for frame in idle].index(0, 1) - 1]
    assert spoken[0].loop_index == (last_before.loop_index + 1) % len(loop)


def test_the_silent_and_the_speaking_avatar_are_one_stream_of_h264(
    runner: asyncio.Runner, triton: TritonServer, made_up: MadeUpModel
) -> None:
    call = runner.run(idled(triton, made_up, FrameEncoding.FRAME_ENCODING_H264))
    frames = call.all("frame")
    decoded = h264_frames([frame.data for frame in frames])
    assert [(picture.width, picture.height) for picture in decoded] == [(FRAME_SIZE, FRAME_SIZE)] * len(frames)
    assert [frame.keyframe for frame in frames if not frame.index] == [True] * 3
