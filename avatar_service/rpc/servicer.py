"""The calls of the contract: what is asked for, to the session that does it."""

from collections.abc import AsyncIterator

from avatar.v1 import (
    AnimateRequest,
    AnimateResponse,
    AvatarServiceServicer,
    ConverseRequest,
    CreateAvatarRequest,
    CreateAvatarResponse,
    DeleteAvatarRequest,
    DeleteAvatarResponse,
    GetAvatarRequest,
    GetAvatarResponse,
    GetServerInfoRequest,
    GetServerInfoResponse,
    ListAvatarsRequest,
    ListAvatarsResponse,
    ListVoicesRequest,
    ListVoicesResponse,
    SpeakRequest,
    SpeakResponse,
)
from avatar_service import clock
from avatar_service.access.admission import UPLOADING
from avatar_service.access.identity import caller
from avatar_service.access.rate import PIECES_PER_SECOND, MessageRate
from avatar_service.rpc.animate_from_proto import animation_config
from avatar_service.rpc.audio_input import AudioInput
from avatar_service.rpc.config_from_proto import ConfigParser
from avatar_service.rpc.conversing import converse
from avatar_service.rpc.create_avatar import create_avatar
from avatar_service.rpc.lists import delete_avatar, get_avatar, list_avatars, list_voices
from avatar_service.rpc.reader import decoded, read_animation, read_config
from avatar_service.rpc.responses import Responses
from avatar_service.rpc.server_info import SANDBOX, server_info, vendor_of
from avatar_service.rpc.speak_from_proto import monologue
from avatar_service.rpc.started import animate_started, speak_started
from avatar_service.rpc.status import rpc_errors
from avatar_service.rpc.streaming import Context, Service, builder_for, frames_encoded, hold, stream
from avatar_service.rpc.unary import answering
from avatar_service.rpc.writer import write_one
from avatar_service.session.animation import Animation
from avatar_service.session.speaking import speak_once


class AvatarServicer(AvatarServiceServicer):
    """One instance serves every call of the process; streams are coroutines that write."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._parser = ConfigParser(service.settings, service.catalogue, service.engines.speech.rate_hz)

    async def Converse(  # noqa: N802  # the contract's name
        self, request_iterator: AsyncIterator[ConverseRequest], context: Context
    ) -> None:
        """Hold one conversation."""
        await converse(request_iterator, context, self._service, self._parser)

    async def Animate(  # noqa: N802
        self, request_iterator: AsyncIterator[AnimateRequest], context: Context
    ) -> None:
        """Animate the caller's own voice."""
        service = self._service
        async with stream(service, context, "Animate") as serving:
            asked = (await read_config(request_iterator)).config
            config = animation_config(asked, service.settings, service.catalogue)
            serving.began(asked.metadata)
            started = animate_started(serving.session_id, config, asked, service.settings)
            await write_one(AnimateResponse(animate_started=started), context)
            responses = Responses()
            out = frames_encoded(responses, config.media, service)
            animation = Animation(
                config.media, service.engines.lip_sync, service.settings.limits, out, idle_frames=config.idle_frames
            )
            serving.turns = lambda: animation.segments.last_id
            builder = builder_for(AnimateResponse, config.media, config.audio)
            limits = service.settings.limits
            # The voice comes as fast as it is made: a buffer full of it may come at once.
            rate = MessageRate(
                limits.messages_per_second, clock.now(), burst=PIECES_PER_SECOND * limits.buffered_audio_s
            )
            reading = read_animation(request_iterator, AudioInput(config.audio), animation, rate)
            await hold(animation.run(), reading, responses, builder, context)

    async def Speak(self, request: SpeakRequest, context: Context) -> None:  # noqa: N802
        """Speak one text."""
        service = self._service
        async with stream(service, context, "Speak") as serving:
            asked = decoded(request)
            said = monologue(asked, service.settings, service.catalogue, service.engines.speech.rate_hz)
            serving.began(asked.metadata)
            serving.turns = lambda: 1
            started = speak_started(serving.session_id, said, asked)
            await write_one(SpeakResponse(speak_started=started), context)
            responses = Responses()
            builder = builder_for(SpeakResponse, said.media, said.output_audio)
            out = frames_encoded(responses, said.media, service)
            speaking = speak_once(said.text, said.voice, said.media, service.engines, out)
            await hold(speaking, None, responses, builder, context)

    @answering
    async def ListAvatars(self, request: ListAvatarsRequest) -> ListAvatarsResponse:  # noqa: N802
        """A page of the avatars that there are."""
        return list_avatars(request, self._service.catalogue)

    @answering
    async def GetAvatar(self, request: GetAvatarRequest) -> GetAvatarResponse:  # noqa: N802
        """One avatar by its name."""
        return get_avatar(request, self._service.catalogue)

    async def CreateAvatar(  # noqa: N802
        self, request_iterator: AsyncIterator[CreateAvatarRequest], context: Context
    ) -> CreateAvatarResponse:
        """Take a video or picture, and prepare it in the background."""
        service = self._service
        async with rpc_errors(context), service.admission.admit(UPLOADING, caller(), ""):
            return await create_avatar(request_iterator, service.maker, service.workers, service.settings.preparation)
        raise AssertionError("unreachable: an error that leaves the block has ended the call")

    @answering
    async def DeleteAvatar(self, request: DeleteAvatarRequest) -> DeleteAvatarResponse:  # noqa: N802
        """Remove an avatar that was uploaded."""
        await delete_avatar(request, self._service.maker)
        return DeleteAvatarResponse()

    @answering
    async def ListVoices(self, request: ListVoicesRequest) -> ListVoicesResponse:  # noqa: N802
        """A page of the voices that the speech vendor has."""
        demonstration = vendor_of(self._service.settings.elevenlabs) == SANDBOX
        return await list_voices(request, self._service.engines.speech, demonstration=demonstration)

    @answering
    async def GetServerInfo(self, request: GetServerInfoRequest) -> GetServerInfoResponse:  # noqa: N802
        """What this server offers."""
        offered = await self._service.maker.offered()
        return server_info(self._service.settings, self._service.catalogue, makes_avatars=offered)
