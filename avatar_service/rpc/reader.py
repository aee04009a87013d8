"""What a client sends, to its session."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from google.protobuf.message import Message

from avatar.v1 import AnimateRequest, ConverseRequest, CreateAvatarRequest
from avatar_service import clock
from avatar_service.access.rate import MessageRate
from avatar_service.errors import ClientError
from avatar_service.rpc.audio_input import AudioInput
from avatar_service.rpc.from_proto import IN_AUDIO, InputParser, position_s, unexpected
from avatar_service.rpc.undecodable import Undecodable
from avatar_service.session.animation import Animation
from avatar_service.session.inputs import ConfigChanged, PlaybackReport
from avatar_service.session.session import Session

CONFIG_WITHIN_S = 10.0
"""How long a stream may hold its place before it says what it is for."""
HALF_CLOSE_S = 0.05
"""How long a stream must go on after the client's last message to count as half-closed. Of a stream that is cut, gRPC
tells the end of the messages and the cancel in any order, and a session that ends by itself cannot be resumed."""

M = TypeVar("M", bound=Message)
S = TypeVar("S", ConverseRequest, AnimateRequest, CreateAvatarRequest)


def decoded(request: M | Undecodable) -> M:
    """A request that could be parsed. Raises ClientError for another one."""
    if isinstance(request, Undecodable):
        raise ClientError(
            f"request: is no {request.expected}; generate the client from protos/avatar/v1",
            reason="MESSAGE_UNDECODABLE",
        )
    return request


async def read_config(requests: AsyncIterator[S | Undecodable]) -> S:
    """The first message of a stream, which must be the configuration. Raises ClientError."""
    try:
        async with asyncio.timeout(CONFIG_WITHIN_S):
            async for request in requests:
                if (first := decoded(request)).WhichOneof("payload") == "config":
                    return first
                break
    except TimeoutError:
        raise _config_expected(f"must come within {CONFIG_WITHIN_S:g} s of the call") from None
    raise _config_expected("must be the first message of the stream")


def _config_expected(words: str) -> ClientError:
    return ClientError(f"config: {words}", reason="CONFIG_EXPECTED", field="config")


async def read_conversation(
    requests: AsyncIterator[ConverseRequest | Undecodable],
    parser: InputParser,
    session: Session,
    rate: MessageRate,
    touch: Callable[[float], None],
) -> None:
    """Pass on every message until the client half-closes; then end the session's input. Each is a sign of life, of
    which `touch` is told the moment. Raises ClientError, and OverloadError for too many messages."""
    async for undecided in requests:
        now_s = clock.now()
        rate.take(now_s)
        touch(now_s)
        request = decoded(undecided)
        if request.WhichOneof("payload") in IN_AUDIO:
            for heard in parser.audio(request):
                await session.audio.send(heard)
            continue
        match parser.other(request):
            case PlaybackReport() as report:
                session.reported(report)  # at once: what is sent next depends on it
            case ConfigChanged() as change:
                session.hear_by(change.config)  # at once: marks and audio that follow are by these settings
                await session.inbox.send(change)
            case item:
                await session.inbox.send(item)
    await asyncio.sleep(HALF_CLOSE_S)
    session.audio.close()


async def read_animation(
    requests: AsyncIterator[AnimateRequest | Undecodable], audio: AudioInput, animation: Animation, rate: MessageRate
) -> None:
    """Pass on every message until the client half-closes; that ends the last segment. Raises ClientError, and
    OverloadError for too many messages."""
    async for undecided in requests:
        rate.take(clock.now())
        request = decoded(undecided)
        match request.WhichOneof("payload"):
            case "audio":
                await animation.segments.push(audio.pcm(request.audio.data))
            case "segment_ended":
                await animation.segments.end()
            case "interrupt":
                await animation.interrupt(request.interrupt.turn_id)
            case "playback_report":
                report = request.playback_report
                animation.report(report.turn_id, position_s(report), stopped=report.stopped)
            case other:
                raise unexpected(other, "audio, segment_ended, interrupt and playback_report")
    await animation.segments.close()
