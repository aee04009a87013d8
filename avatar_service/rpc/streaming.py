"""What the streaming calls have in common: a place, a name, a reader and a writer around their session."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from avatar_service import clock, tracing
from avatar_service.access.admission import Admission, Place
from avatar_service.access.identity import caller
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.avatars.maker import AvatarMaker
from avatar_service.avatars.workers import Workers
from avatar_service.channel import Sender
from avatar_service.engines.base import Engines
from avatar_service.errors import Unauthenticated
from avatar_service.events import Event
from avatar_service.garbage import EndedStreams
from avatar_service.log import bind_contextvars, bound_contextvars, get_logger
from avatar_service.media.timeline import Timeline
from avatar_service.media.wire_audio import OPUS_BITS_PER_SECOND, AudioEncoder
from avatar_service.rpc.media_from_proto import WireAudio
from avatar_service.rpc.metering import code_of
from avatar_service.rpc.responses import Responses
from avatar_service.rpc.status import rpc_errors
from avatar_service.rpc.to_proto import R, ResponseBuilder
from avatar_service.rpc.writer import write
from avatar_service.session.sessions import Sessions
from avatar_service.session.stores.base import new_session_id
from avatar_service.settings import Settings
from avatar_service.stages.encode import encoded
from avatar_service.turn.turn import MediaSettings

log = get_logger(__name__)
_ended = EndedStreams()

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
    sessions: Sessions
    encoders: Workers
    """Threads in which frames are encoded, one for each core."""


@dataclass(slots=True)
class Stream:
    """A streaming call that is served: the name of its session, and how many turns that has had."""

    session_id: str
    place: Place
    tenant: str = ""
    credential_left_s: float | None = None
    """How long the caller's credential still holds from when the call came; None if it does not end."""
    turns: Callable[[], int] = lambda: 0

    def resumes(self, session_id: str) -> None:
        """The call goes on with a session that has a name."""
        self.session_id = session_id
        bind_contextvars(session_id=session_id)
        tracing.describe({tracing.SESSION: session_id})

    def began(self, metadata: Mapping[str, str]) -> None:
        """What was asked for can be served; `metadata` are the labels by which the caller looks for it in the log."""
        log.info("session_started", **({"metadata": dict(metadata)} if metadata else {}))


@asynccontextmanager
async def stream(service: Service, context: Context, method: str) -> AsyncIterator[Stream]:
    """Hold a place while the block runs, name it in every log line, and log its end.

    An error that leaves the block ends the call with its status; so do the end of the caller's credential and a stop
    of the process whose grace is over.
    """
    session_id, who = new_session_id(), caller()
    left_s = None if who.expires_s is None else who.expires_s - clock.wall()
    tracing.describe({tracing.SESSION: session_id})
    with bound_contextvars(session_id=session_id), _end_logged(context) as counting:
        async with (
            rpc_errors(context),
            service.admission.admit(method, who, session_id) as place,
            _credential_held(left_s),
        ):
            counting.append(serving := Stream(session_id, place, who.tenant, left_s))
            yield serving


@asynccontextmanager
async def _credential_held(left_s: float | None) -> AsyncIterator[None]:
    """End the block with Unauthenticated after so long, if that is not None."""
    held = asyncio.timeout(left_s)
    try:
        async with held:
            yield
    except TimeoutError:
        if held.expired():
            raise Unauthenticated(
                "the credential of this call has expired; resume the session with a new one",
                reason="CREDENTIAL_EXPIRED",
                why="expired during the call",
            ) from None
        raise


@contextmanager
def _end_logged(context: Context) -> Iterator[list[Stream]]:
    """Log how the call ends; the caller puts its stream into the list once there is one."""
    began_s, code, served = clock.now(), "CANCELLED", list[Stream]()
    try:
        yield served
        code = code_of(context)
    except grpc.aio.AbortError:
        code = code_of(context)
        raise
    finally:
        _ended.add()
        turns = sum(serving.turns() for serving in served)
        log.info("session_ended", code=code, turns=turns, duration_s=round(clock.now() - began_s, 3))


def frames_encoded(responses: Responses, media: MediaSettings, service: Service) -> Sender[Event]:
    """Where a session sends what it tells, so that frames reach `responses` as the client wants them."""
    return encoded(responses, media.frames, media.fps, service.encoders)


def builder_for(response: type[R], media: MediaSettings, wire: WireAudio) -> ResponseBuilder[R]:
    """Builds a call's responses in its formats."""
    bits_per_second = wire.bits_per_second or OPUS_BITS_PER_SECOND
    encoder = partial(AudioEncoder, wire.encoding, media.rate_hz, bits_per_second)
    return ResponseBuilder(response, Timeline(media.rate_hz, media.fps), encoder)


async def hold(
    session: Coroutine[Any, Any, None],
    reading: Coroutine[Any, Any, None] | None,
    responses: Responses,
    builder: ResponseBuilder[Any],
    context: Context,
    *beside: Coroutine[Any, Any, None],
) -> None:
    """Run a session between a reader and a writer, and what goes on beside it; when it is over, nothing is left."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write(responses, builder, context))
        others = [tasks.create_task(other) for other in (reading, *beside) if other]
        await session
        for other in others:
            other.cancel()
        responses.close()
