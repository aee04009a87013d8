"""Avatars and voices as messages of the contract."""

from avatar.v1 import Avatar as WireAvatar
from avatar.v1 import (
    AvatarState,
    Code,
    DeleteAvatarRequest,
    ErrorInfo,
    GetAvatarRequest,
    GetAvatarResponse,
    ListAvatarsRequest,
    ListAvatarsResponse,
    ListVoicesRequest,
    ListVoicesResponse,
    PreparationReport,
    Status,
)
from avatar.v1 import Voice as WireVoice
from avatar_service.access.audit import granted
from avatar_service.access.identity import caller
from avatar_service.avatars.catalogue import Avatar, Catalogue, Unready
from avatar_service.avatars.maker import DEMONSTRATION_TIER, AvatarMaker
from avatar_service.avatars.record import Failure, Report
from avatar_service.engines.base import SpeechSynthesizer, VoiceInfo
from avatar_service.errors import InvalidArgument
from avatar_service.rpc.effective import frame_rate, voice_settings
from avatar_service.rpc.paging import page_of
from avatar_service.rpc.status import DOMAIN


def avatar_message(avatar: Avatar | Unready) -> WireAvatar:
    """An avatar of the catalogue, in whichever state."""
    message = _unready(avatar) if isinstance(avatar, Unready) else _ready(avatar)
    if avatar.created_s is not None:
        message.create_time.FromNanoseconds(round(avatar.created_s * 1e9))
    return message


def _unready(avatar: Unready) -> WireAvatar:
    return WireAvatar(
        name=avatar.name,
        display_name=avatar.display_name,
        state=AvatarState.AVATAR_STATE_FAILED if avatar.failure else AvatarState.AVATAR_STATE_PREPARING,
        progress_percent=avatar.progress_percent,
        status=_status(avatar.failure) if avatar.failure else None,
        tier=avatar.tier,
        demonstration=avatar.tier == DEMONSTRATION_TIER,
    )


def _status(failure: Failure) -> Status:
    info = ErrorInfo(reason=failure.reason, domain=DOMAIN)
    return Status(code=Code.Value(f"CODE_{failure.code}"), message=failure.message, error_info=info)


def _report(report: Report) -> PreparationReport:
    return PreparationReport(
        source_frame_count=report.source_frames,
        interpolated_frame_count=report.interpolated_frames,
        dropped_frame_count=report.dropped_frames,
    )


def _ready(avatar: Avatar) -> WireAvatar:
    return WireAvatar(
        name=avatar.name,
        display_name=avatar.display_name,
        state=AvatarState.AVATAR_STATE_READY,
        progress_percent=100,
        width=avatar.width,
        height=avatar.height,
        frame_rate=frame_rate(avatar.fps),
        loop_frame_count=avatar.loop_length,
        tier=avatar.tier,
        demonstration=avatar.tier == DEMONSTRATION_TIER,
        public=avatar.public,
        content_sha256=avatar.sha256,
        preparation_report=_report(avatar.report) if avatar.report else None,
    )


def get_avatar(asked: GetAvatarRequest, catalogue: Catalogue) -> GetAvatarResponse:
    """One avatar. Raises InvalidArgument without a name, NotFound if there is none of that name."""
    if not asked.name:
        raise InvalidArgument("name", "is empty; give `avatars/{id}` as ListAvatars does")
    return GetAvatarResponse(avatar=avatar_message(catalogue.find(asked.name, "name", caller().tenant)))


def list_avatars(asked: ListAvatarsRequest, catalogue: Catalogue) -> ListAvatarsResponse:
    """A page of avatars by name. Raises InvalidArgument."""
    page, token = page_of(
        catalogue.all(caller().tenant), lambda avatar: avatar.name, "avatars", asked.page_size, asked.page_token
    )
    return ListAvatarsResponse(avatars=map(avatar_message, page), next_page_token=token)


async def delete_avatar(asked: DeleteAvatarRequest, maker: AvatarMaker) -> None:
    """Remove an avatar. Raises InvalidArgument without a name, NotFound, PermissionDenied."""
    if not asked.name:
        raise InvalidArgument("name", "is empty; give `avatars/{id}` as ListAvatars does")
    if await maker.delete(asked.name, allow_missing=asked.allow_missing, tenant=caller().tenant):
        granted("avatar_deleted", avatar=asked.name)


async def list_voices(
    asked: ListVoicesRequest, speech: SpeechSynthesizer, *, demonstration: bool
) -> ListVoicesResponse:
    """A page of voices by name. Raises InvalidArgument, and EngineError if their vendor does not tell them."""
    voices = await speech.voices()
    page, token = page_of(voices, _voice_name, "voices", asked.page_size, asked.page_token)
    messages = [_voice_message(voice, demonstration=demonstration) for voice in page]
    return ListVoicesResponse(voices=messages, next_page_token=token)


def _voice_name(voice: VoiceInfo) -> str:
    return f"voices/{voice.voice_id}"


def _voice_message(voice: VoiceInfo, *, demonstration: bool) -> WireVoice:
    return WireVoice(
        name=_voice_name(voice),
        display_name=voice.display_name or voice.voice_id,
        language_codes=voice.language_codes,
        description=voice.description,
        default_settings=voice_settings(voice.settings),
        demonstration=demonstration,
    )
