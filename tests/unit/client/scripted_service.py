"""A real grpc.aio server on a free port whose `Converse` follows a script, to drive the client with."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray
from PIL import Image

from avatar import v1
from avatar.v1 import (
    AnimateResponse,
    AnimateStarted,
    AudioChunk,
    AudioEncoding,
    AudioFormat,
    AvatarServiceServicer,
    Code,
    ConverseResponse,
    ErrorInfo,
    Frame,
    FrameEncoding,
    FrameFormat,
    FrameRate,
    GetAvatarRequest,
    GetAvatarResponse,
    GetServerInfoRequest,
    GetServerInfoResponse,
    ListAvatarsRequest,
    ListAvatarsResponse,
    ListVoicesRequest,
    ListVoicesResponse,
    ReplyFinished,
    SegmentCompleted,
    SegmentFinished,
    SegmentStarted,
    SessionStarted,
    SpeakResponse,
    SpeakStarted,
    Status,
    TurnCompleted,
    TurnMetrics,
    TurnOutcome,
    add_AvatarServiceServicer_to_server,
)

Context = grpc.aio.ServicerContext[Any, Any]

RATE_HZ, FPS, SIZE = 24_000, 25, 64
CHUNK_SAMPLES = RATE_HZ // FPS
SCENARIO_TIMEOUT_S = 20.0


FRAMES = FrameFormat(encoding=FrameEncoding.FRAME_ENCODING_JPEG, frame_rate=FrameRate(numerator=FPS, denominator=1))


class Stream:
    """One stream, of any of the three calls, as a script sees it."""

    def __init__(self, requests: AsyncIterator[Any], context: Context) -> None:
        """Wrap what gRPC hands to a servicer."""
        self._requests = requests
        self._context = context
        self.received: list[Any] = []
        self.half_closed = False

    async def until(self, payload: str, count: int = 1) -> Any:
        """Read requests until `count` of kind `payload` have come; returns the last of them."""
        async for request in self._requests:
            self.received.append(request)
            count -= request.WhichOneof("payload") == payload
            if count == 0:
                return request
        raise AssertionError(f"the client half-closed before it sent {payload}")

    async def until_half_close(self) -> None:
        """Read requests until the client has half-closed."""
        async for request in self._requests:
            self.received.append(request)
        self.half_closed = True

    async def send(self, *responses: Message) -> None:
        """Send responses."""
        for response in responses:
            await self._context.write(response)

    async def start(self, resume_token: str = "", received_s: float = 0.0, last_turn_id: int = 0) -> v1.Resume:
        """Take the configuration and answer it as a server with common defaults does; returns what is to be resumed.

        The session can be resumed with `resume_token`; `received_s` of the user's audio are there, and turns up to
        `last_turn_id` were held.
        """
        config = (await self.until("config")).config
        resume = v1.Resume()
        resume.CopyFrom(config.resume)
        resumed = config.HasField("resume")
        config.ClearField("resume")
        _fill(config.output_audio)
        config.frame_format.CopyFrom(FRAMES)
        config.turn_taking.silence.FromMilliseconds(100)
        started = SessionStarted(config=config, session_id="s-1", frame_width=SIZE, frame_height=SIZE)
        started.resume_token, started.resumed, started.last_turn_id = resume_token, resumed, last_turn_id
        started.audio_received_offset.FromNanoseconds(round(received_s * 1e9))
        await self.send(ConverseResponse(session_started=started))
        return resume

    async def start_speech(self) -> v1.SpeakRequest:
        """Take a `SpeakRequest` and answer it; returns it."""
        request: v1.SpeakRequest = await anext(self._requests)
        _fill(request.output_audio)
        config = v1.SpeakRequest(output_audio=request.output_audio, frame_format=FRAMES, pacing=request.pacing)
        started = SpeakStarted(config=config, session_id="s-2", frame_width=SIZE, frame_height=SIZE)
        await self.send(SpeakResponse(speak_started=started))
        return request

    async def start_animation(self) -> v1.AnimateConfig:
        """Take an `AnimateConfig` and answer it; returns the configuration."""
        config: v1.AnimateConfig = (await self.until("config")).config
        _fill(config.audio_format)
        config.frame_format.CopyFrom(FRAMES)
        started = AnimateStarted(config=config, session_id="s-3", frame_width=SIZE, frame_height=SIZE)
        await self.send(AnimateResponse(animate_started=started))
        return config

    async def cut(self) -> None:
        """Break the stream as a connection that is lost does: without a word of the service's own."""
        await self._context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    async def fail(self, code: grpc.StatusCode, status: Status) -> None:
        """End the stream with an error as the service does."""
        await self._context.abort(code, status.message, (("grpc-status-details-bin", status.SerializeToString()),))


def _fill(audio: AudioFormat) -> None:
    """Fill in what the client left to the server."""
    audio.encoding = audio.encoding or AudioEncoding.AUDIO_ENCODING_LINEAR16
    audio.sample_rate_hertz = audio.sample_rate_hertz or RATE_HZ


Script = Callable[[Stream], Awaitable[None]]


def in_turn(*scripts: Script) -> Script:
    """A script for each stream, in the order in which they come; the last one for all that follow."""
    waiting = list(scripts)

    async def follow(stream: Stream) -> None:
        await (waiting.pop(0) if len(waiting) > 1 else waiting[0])(stream)

    return follow


async def no_script(stream: Stream) -> None:
    """Of a test that opens no stream."""
    raise AssertionError("not called")


class ScriptedService(AvatarServiceServicer):
    """The streams follow the script; the other calls give fixed answers."""

    def __init__(self, script: Script) -> None:
        """Follow `script` for every stream."""
        self._script = script

    async def Converse(self, request_iterator: AsyncIterator[v1.ConverseRequest], context: Context) -> None:  # noqa: N802
        """Run the script."""
        await self._script(Stream(request_iterator, context))

    async def Animate(self, request_iterator: AsyncIterator[v1.AnimateRequest], context: Context) -> None:  # noqa: N802
        """Run the script."""
        await self._script(Stream(request_iterator, context))

    async def Speak(self, request: v1.SpeakRequest, context: Context) -> None:  # noqa: N802
        """Run the script."""
        await self._script(Stream(_once(request), context))

    async def ListAvatars(self, request: ListAvatarsRequest, context: Context) -> ListAvatarsResponse:  # noqa: N802
        """Two pages of one avatar each."""
        if not request.page_token:
            return ListAvatarsResponse(avatars=[ADA], next_page_token="2")
        return ListAvatarsResponse(avatars=[v1.Avatar(name="avatars/bob")])

    async def GetAvatar(self, request: GetAvatarRequest, context: Context) -> GetAvatarResponse:  # noqa: N802
        """Ada, and nobody else."""
        if request.name != ADA.name:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no avatar {request.name}; there is avatars/ada")
        return GetAvatarResponse(avatar=ADA)

    async def ListVoices(self, request: ListVoicesRequest, context: Context) -> ListVoicesResponse:  # noqa: N802
        """One voice."""
        settings = v1.VoiceSettings(stability=0.5, use_speaker_boost=True)
        voice = v1.Voice(name="voices/amy", display_name="Amy", language_codes=["en", "de"], default_settings=settings)
        return ListVoicesResponse(voices=[voice])

    async def GetServerInfo(self, request: GetServerInfoRequest, context: Context) -> GetServerInfoResponse:  # noqa: N802
        """What a small server offers."""
        return GetServerInfoResponse(
            version="0.1.0",
            api_version="avatar.v1",
            input_audio_encodings=[AudioEncoding.AUDIO_ENCODING_LINEAR16, AudioEncoding.AUDIO_ENCODING_MULAW],
            frame_rates=[FrameRate(numerator=25, denominator=1)],
            models=[v1.Model(stage=v1.Stage.STAGE_THINK, name="gpt-4o-mini", vendor="sandbox", demonstration=True)],
            default_avatar="avatars/ada",
            limits=v1.Limits(max_text_characters=4_000),
        )


ADA = v1.Avatar(
    name="avatars/ada",
    display_name="Ada",
    state=v1.AvatarState.AVATAR_STATE_READY,
    width=512,
    height=512,
    frame_rate=FrameRate(numerator=25, denominator=1),
    tier="nano",
    demonstration=True,
)


async def _once(request: v1.SpeakRequest) -> AsyncIterator[v1.SpeakRequest]:
    yield request


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """Serve `script` on a free port; yields the address."""
    server = grpc.aio.server()
    add_AvatarServiceServicer_to_server(ScriptedService(script), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with asyncio.timeout(SCENARIO_TIMEOUT_S):
            yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def tone(index: int) -> bytes:
    """Chunk `index` of a 400 Hz tone: 960 samples, which are a whole number of its periods."""
    times = np.arange(CHUNK_SAMPLES) + index * CHUNK_SAMPLES
    samples: NDArray[np.int16] = (8000 * np.sin(2 * np.pi * 400 * times / RATE_HZ)).astype("<i2")
    return samples.tobytes()


def grey(level: int) -> bytes:
    """A JPEG that is `level` (0 to 255) all over."""
    file = io.BytesIO()
    Image.new("RGB", (SIZE, SIZE), (level, level, level)).save(file, "JPEG", quality=90)
    return file.getvalue()


def media(
    turn_id: int,
    frames: int,
    missing: frozenset[int] = frozenset(),
    response: Callable[..., Message] = ConverseResponse,
) -> list[Message]:
    """Audio and frames of a turn in play-out order, 40 ms each; frame i is grey of level 20 + 10 i."""
    responses: list[Message] = []
    for index in range(frames):
        chunk = AudioChunk(turn_id=turn_id, index=index, data=tone(index), sample_count=CHUNK_SAMPLES)
        chunk.offset.FromMilliseconds(40 * index)
        responses.append(response(audio=chunk))
        if index not in missing:
            frame = Frame(turn_id=turn_id, index=index, data=grey(20 + 10 * index), keyframe=True, loop_index=index)
            frame.offset.FromMilliseconds(40 * index)
            responses.append(response(frame=frame))
    return responses


def reply_finished(turn_id: int, frames: int) -> ConverseResponse:
    """The end of a turn's media."""
    finished = ReplyFinished(turn_id=turn_id)
    finished.media_duration.FromNanoseconds(int(Fraction(frames, FPS) * 10**9))
    return ConverseResponse(reply_finished=finished)


def turn_completed(turn_id: int, reply: str, outcome: TurnOutcome.ValueType) -> ConverseResponse:
    """The good end of a turn."""
    return ConverseResponse(turn_completed=completed(turn_id, reply, outcome))


def completed(turn_id: int, reply: str, outcome: TurnOutcome.ValueType) -> TurnCompleted:
    """What says that a turn is over."""
    return TurnCompleted(
        turn_id=turn_id,
        outcome=outcome,
        status=Status(code=Code.CODE_OK),
        metrics=TurnMetrics(transcription_time_ms=500, total_latency_ms=1300, sent_frame_count=8),
        generated_text=reply,
        heard_text=reply,
    )


async def speak_text(stream: Stream) -> None:
    """Speak with 5 frames."""
    await stream.start_speech()
    finished = ReplyFinished(turn_id=1)
    finished.media_duration.FromMilliseconds(200)
    await stream.send(
        *media(1, 5, response=SpeakResponse),
        SpeakResponse(reply_finished=finished),
        SpeakResponse(turn_completed=completed(1, "Hello.", TurnOutcome.TURN_OUTCOME_COMPLETED)),
    )


async def echo_segments(stream: Stream) -> None:
    """Give each segment its own sound back, 40 ms a chunk, with a grey frame for each."""
    config = await stream.start_animation()
    size = 2 * config.audio_format.sample_rate_hertz // FPS
    segment_id, waiting = 0, b""
    async for request in stream._requests:
        stream.received.append(request)
        match request.WhichOneof("payload"):
            case "audio":
                waiting += request.audio.data
            case "segment_ended":
                segment_id += 1
                await stream.send(AnimateResponse(segment_started=SegmentStarted(segment_id=segment_id)))
                count = -(-len(waiting) // size)
                for index in range(count):
                    data = waiting[index * size :][:size].ljust(size, b"\0")
                    chunk = AudioChunk(turn_id=segment_id, index=index, data=data, sample_count=size // 2)
                    chunk.offset.FromMilliseconds(40 * index)
                    frame = Frame(turn_id=segment_id, index=index, data=grey(100), keyframe=True)
                    frame.offset.FromMilliseconds(40 * index)
                    await stream.send(AnimateResponse(audio=chunk), AnimateResponse(frame=frame))
                finished = SegmentFinished(segment_id=segment_id)
                finished.media_duration.FromMilliseconds(40 * count)
                status = Status(code=Code.CODE_OK)
                await stream.send(
                    AnimateResponse(segment_finished=finished),
                    AnimateResponse(segment_completed=SegmentCompleted(segment_id=segment_id, status=status)),
                )
                waiting = b""


def failure(code: Code.ValueType, reason: str, message: str, field: str = "") -> Status:
    """A status as the service writes it."""
    error_info = ErrorInfo(reason=reason, domain="avatar.v1", metadata={"limit": "4000"})
    return Status(code=code, message=message, error_info=error_info, field=field)
