"""One `Converse` stream: a session that begins or is resumed, until it ends by itself or its stream breaks."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from avatar.v1 import ConverseConfig, ConverseRequest, ConverseResponse, SessionStarted
from avatar_service import clock
from avatar_service.access.rate import PIECES_PER_SECOND, MessageRate
from avatar_service.rpc.completed_to_proto import seconds
from avatar_service.rpc.config_from_proto import ConfigParser
from avatar_service.rpc.configuration import Configuration
from avatar_service.rpc.from_proto import InputParser, position_s
from avatar_service.rpc.reader import read_config, read_conversation
from avatar_service.rpc.responses import Responses
from avatar_service.rpc.started import session_started
from avatar_service.rpc.streaming import Context, Service, Stream, builder_for, frames_encoded, hold, stream
from avatar_service.rpc.writer import write_one
from avatar_service.session.inputs import PlaybackReport
from avatar_service.session.keeper import Held, Keeper
from avatar_service.session.lifetime import Lifetime
from avatar_service.session.saved import SavedSession
from avatar_service.session.session import Session
from avatar_service.session.sessions import Sessions
from avatar_service.session.stores.base import session_of
from avatar_service.settings import LimitSettings, Settings


@dataclass(frozen=True, slots=True)
class Opened:
    """What a stream begins with."""

    held: Held
    configuration: Configuration
    played: PlaybackReport | None = None
    """How far the client says that it played the last turn."""


async def converse(
    requests: AsyncIterator[ConverseRequest], context: Context, service: Service, parser: ConfigParser
) -> None:
    """Hold one conversation, or a part of it."""
    async with stream(service, context, "Converse") as serving:
        asked = (await read_config(requests)).config
        opened = await _open(asked, serving, service.sessions, parser)
        serving.resumes(opened.held.hold.session_id)
        serving.began(opened.configuration.asked.metadata)
        conversation = opened.configuration.conversation
        limits, media = service.settings.limits, conversation.session.turn.media
        responses = Responses()
        out = frames_encoded(responses, media, service)
        keeper = Keeper(
            service.sessions.store,
            opened.held,
            lambda: _saved(session, opened.configuration),
            lambda saved: session.is_behind(saved),  # noqa: PLW0108  # the session is made with its keeper
            out,
        )
        session = Session(
            conversation.session,
            service.engines,
            limits,
            out,
            keeper=keeper,
            resumed=opened.held.saved,
            played=opened.played,
        )
        serving.turns = lambda: session.turns
        lifetime = Lifetime(
            service.settings.sessions,
            idle_s=conversation.session.idle_timeout_s,
            credential_s=serving.credential_left_s,
            token=lambda: keeper.token,
            is_busy=lambda: session.is_busy,
            out=out,
        )

        def touch(now_s: float) -> None:
            lifetime.touch(now_s)
            keeper.confirm()

        inputs, rate = InputParser(opened.configuration, limits), _message_rate(opened, limits)
        builder = builder_for(ConverseResponse, media, conversation.output_audio)
        grace_s = service.settings.server.stop_grace_s
        async with service.sessions.holding(keeper, lambda: lifetime.is_leaving):
            await keeper.save()
            await write_one(ConverseResponse(session_started=_started(opened, service.settings)), context)
            with service.admission.telling(lambda: lifetime.drain(grace_s)):
                reading = read_conversation(requests, inputs, session, rate, touch)
                await hold(session.run(), reading, responses, builder, context, keeper.run(), lifetime.run())


def _message_rate(opened: Opened, limits: LimitSettings) -> MessageRate:
    """How much a client may send. One that resumes a session sends again at once what was not heard of its audio: at
    most an utterance, and what waited to be listened to."""
    owed_s = limits.utterance_s + limits.buffered_audio_s if opened.held.saved else 0.0
    return MessageRate(limits.messages_per_second, clock.now(), owed=PIECES_PER_SECOND * owed_s)


async def _open(asked: ConverseConfig, serving: Stream, sessions: Sessions, parser: ConfigParser) -> Opened:
    """A new session of the stream's name, or the one that is resumed. Raises ClientError, OverloadError, SessionHeld or
    StoreUnavailable."""
    if not asked.HasField("resume"):
        await serving.place.settle(serving.session_id)
        return Opened(sessions.begin(serving.session_id, serving.tenant), Configuration(asked, parser))
    resume, played = asked.resume, None
    if resume.HasField("playback"):
        played = PlaybackReport(resume.playback.turn_id, position_s(resume.playback, "config.resume.playback"))
    if session_id := session_of(resume.resume_token):
        await serving.place.settle(session_id)
    held = await sessions.resume(resume.resume_token, serving.tenant)
    assert held.saved is not None, "what is resumed was saved"
    return Opened(held, Configuration(ConverseConfig.FromString(held.saved.config), parser), played)


def _saved(session: Session, configuration: Configuration) -> SavedSession:
    """What a session goes on from. The history that it began with is a part of the one that it has."""
    config = ConverseConfig()
    config.CopyFrom(configuration.asked)
    config.ClearField("history")
    return replace(session.snapshot(), config=config.SerializeToString(deterministic=True))


def _started(opened: Opened, settings: Settings) -> SessionStarted:
    held, saved = opened.held, opened.held.saved or SavedSession()
    started = session_started(
        held.hold.session_id, opened.configuration.conversation, opened.configuration.asked, settings
    )
    started.resume_token = held.token
    started.resume_window.CopyFrom(seconds(settings.sessions.resume_s))
    started.resumed = held.saved is not None
    started.audio_received_offset.CopyFrom(seconds(saved.acknowledged_s))
    started.last_turn_id = saved.last_turn_id
    return started
