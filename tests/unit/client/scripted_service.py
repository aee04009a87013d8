"""A real grpc.aio server on a free port whose `Converse` follows a script, to drive the client with."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from fractions import Fraction

import grpc
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avatar.v1 import (
    AudioChunk,
    AudioEncoding,
    AvatarServiceServicer,
    Code,
    ConverseRequest,
    ConverseResponse,
    ErrorInfo,
    Frame,
    FrameEncoding,
    GetServerInfoRequest,
    GetServerInfoResponse,
    ListAvatarsRequest,
    ListAvatarsResponse,
    ReplyFinished,
    SessionStarted,
    Status,
    TurnCompleted,
    TurnMetrics,
    TurnOutcome,
    add_AvatarServiceServicer_to_server,
)
from avatar.v1 import Avatar as AvatarMessage

Context = grpc.aio.ServicerContext[ConverseRequest, ConverseResponse]

RATE_HZ, FPS, SIZE = 24_000, 25, 64
CHUNK_SAMPLES = RATE_HZ // FPS
SCENARIO_TIMEOUT_S = 20.0


class Stream:
    """One `Converse` stream as a script sees it."""

    def __init__(self, requests: AsyncIterator[ConverseRequest], context: Context) -> None:
        """Wrap what gRPC hands to a servicer."""
        self._requests = requests
        self._context = context
        self.received: list[ConverseRequest] = []
        self.half_closed = False

    async def until(self, payload: str, count: int = 1) -> ConverseRequest:
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

    async def send(self, *responses: ConverseResponse) -> None:
        """Send responses."""
        for response in responses:
            await self._context.write(response)

    async def start(self) -> None:
        """Take the configuration and answer it as a server with common defaults does."""
        config = (await self.until("config")).config
        config.output_audio.encoding = AudioEncoding.AUDIO_ENCODING_LINEAR16
        config.output_audio.sample_rate_hertz = RATE_HZ
        config.frame_format.encoding = FrameEncoding.FRAME_ENCODING_JPEG
        config.frame_format.frame_rate.numerator, config.frame_format.frame_rate.denominator = FPS, 1
        config.turn_taking.silence.FromMilliseconds(100)
        started = SessionStarted(config=config, session_id="s-1", frame_width=SIZE, frame_height=SIZE)
        await self.send(ConverseResponse(session_started=started))

    async def fail(self, code: grpc.StatusCode, status: Status) -> None:
        """End the stream with an error as the service does."""
        await self._context.abort(code, status.message, (("grpc-status-details-bin", status.SerializeToString()),))


Script = Callable[[Stream], Awaitable[None]]


class ScriptedService(AvatarServiceServicer):
    """`Converse` follows the script; the other calls give fixed answers."""

    def __init__(self, script: Script) -> None:
        """Follow `script` for every stream."""
        self._script = script

    async def Converse(self, request_iterator: AsyncIterator[ConverseRequest], context: Context) -> None:  # noqa: N802
        """Run the script."""
        await self._script(Stream(request_iterator, context))

    async def ListAvatars(  # noqa: N802
        self,
        request: ListAvatarsRequest,
        context: grpc.aio.ServicerContext[ListAvatarsRequest, ListAvatarsResponse],
    ) -> ListAvatarsResponse:
        """Two pages of one avatar each."""
        if not request.page_token:
            return ListAvatarsResponse(avatars=[AvatarMessage(name="avatars/ada")], next_page_token="2")
        return ListAvatarsResponse(avatars=[AvatarMessage(name="avatars/bob")])

    async def GetServerInfo(  # noqa: N802
        self,
        request: GetServerInfoRequest,
        context: grpc.aio.ServicerContext[GetServerInfoRequest, GetServerInfoResponse],
    ) -> GetServerInfoResponse:
        """Refuse, as a server does that wants a credential."""
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "give a bearer token")
        raise AssertionError("abort raises")


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


def media(turn_id: int, frames: int, missing: frozenset[int] = frozenset()) -> list[ConverseResponse]:
    """Audio and frames of a turn in play-out order, 40 ms each; frame i is grey of level 20 + 10 i."""
    responses = []
    for index in range(frames):
        chunk = AudioChunk(turn_id=turn_id, index=index, data=tone(index), sample_count=CHUNK_SAMPLES)
        chunk.offset.FromMilliseconds(40 * index)
        responses.append(ConverseResponse(audio=chunk))
        if index not in missing:
            frame = Frame(turn_id=turn_id, index=index, data=grey(20 + 10 * index), keyframe=True, loop_index=index)
            frame.offset.FromMilliseconds(40 * index)
            responses.append(ConverseResponse(frame=frame))
    return responses


def reply_finished(turn_id: int, frames: int) -> ConverseResponse:
    """The end of a turn's media."""
    finished = ReplyFinished(turn_id=turn_id)
    finished.media_duration.FromNanoseconds(int(Fraction(frames, FPS) * 10**9))
    return ConverseResponse(reply_finished=finished)


def turn_completed(turn_id: int, reply: str, outcome: TurnOutcome.ValueType) -> ConverseResponse:
    """The good end of a turn."""
    metrics = TurnMetrics(transcription_time_ms=500, total_latency_ms=1300, sent_frame_count=8)
    completed = TurnCompleted(
        turn_id=turn_id,
        outcome=outcome,
        status=Status(code=Code.CODE_OK),
        metrics=metrics,
        generated_text=reply,
        heard_text=reply,
    )
    return ConverseResponse(turn_completed=completed)


def failure(code: Code.ValueType, reason: str, message: str, field: str = "") -> Status:
    """A status as the service writes it."""
    error_info = ErrorInfo(reason=reason, domain="avatar.v1", metadata={"limit": "4000"})
    return Status(code=code, message=message, error_info=error_info, field=field)
