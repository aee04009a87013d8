"""What the streaming calls have in common: a place, a name, a reader and a writer around their session."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from avatar_service import clock
from avatar_service.access.admission import Admission
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.avatars.maker import AvatarMaker
from avatar_service.avatars.workers import Workers
from avatar_service.channel import Channel
from avatar_service.engines.base import Engines
from avatar_service.events import Event
from avatar_service.log import bound_contextvars, get_logger
from avatar_service.media.timeline import Timeline
from avatar_service.media.wire_audio import OPUS_BITS_PER_SECOND, AudioEncoder
from avatar_service.rpc.media_from_proto import WireAudio
from avatar_service.rpc.metering import code_of
from avatar_service.rpc.status import rpc_errors
from avatar_service.rpc.to_proto import R, ResponseBuilder
from avatar_service.rpc.writer import write
from avatar_service.settings import Settings
from avatar_service.turn.turn import MediaSettings

log = get_logger(__name__)

RESPONSES = 64
"""Events that may wait for the writer; media among them are bounded by the lead already."""

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Service:
    """What every call of the process is served with."""

    settings: Settings
    engines: Engines
    catalogue: Catalogue
    admission: Admission
    maker: AvatarMaker
    workers: Workers


@dataclass(slots=True)
class Stream:
    """A streaming call that is served: the name of its session, and how many turns that has had."""

    session_id: str
    turns: Callable[[], int] = lambda: 0


@asynccontextmanager
async def stream(service: Service, context: Context) -> AsyncIterator[Stream]:
    """Hold a place while the block runs, name it in every log line, and log its end.

    An error that leaves the block ends the call with its status.
    """
    serving = Stream(f"s-{secrets.token_hex(8)}")
    with bound_contextvars(session_id=serving.session_id), _end_logged(serving, context):
        async with rpc_errors(context):
            with service.admission.admit():
                yield serving


@contextmanager
def _end_logged(serving: Stream, context: Context) -> Iterator[None]:
    began_s, code = clock.now(), "CANCELLED"
    try:
        yield
        code = code_of(context)
    except grpc.aio.AbortError:
        code = code_of(context)
        raise
    finally:
        log.info("session_ended", code=code, turns=serving.turns(), duration_s=round(clock.now() - began_s, 3))


def response_channel() -> Channel[Event]:
    """What a session tells, on its way to the writer."""
    return Channel("responses", RESPONSES)


def builder_for(response: type[R], media: MediaSettings, wire: WireAudio) -> ResponseBuilder[R]:
    """Builds a call's responses in its formats."""
    bits_per_second = wire.bits_per_second or OPUS_BITS_PER_SECOND
    encoder = partial(AudioEncoder, wire.encoding, media.rate_hz, bits_per_second)
    return ResponseBuilder(response, Timeline(media.rate_hz, media.fps), encoder)


async def hold(
    session: Coroutine[Any, Any, None],
    reading: Coroutine[Any, Any, None] | None,
    responses: Channel[Event],
    builder: ResponseBuilder[Any],
    context: Context,
) -> None:
    """Run a session between a reader and a writer; when it is over, nothing of the three is left."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write(responses, builder, context))
        reader = tasks.create_task(reading) if reading else None
        await session
        if reader:
            reader.cancel()
        responses.close()
