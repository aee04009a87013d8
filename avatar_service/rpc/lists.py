"""Avatars and voices as messages of the contract."""

from avatar.v1 import Avatar as WireAvatar
from avatar.v1 import (
    AvatarState,
    GetAvatarRequest,
    GetAvatarResponse,
    ListAvatarsRequest,
    ListAvatarsResponse,
    ListVoicesRequest,
    ListVoicesResponse,
)
from avatar.v1 import Voice as WireVoice
from avatar_service.avatars.catalogue import Avatar, Catalogue
from avatar_service.engines.base import SpeechSynthesizer, VoiceInfo
from avatar_service.errors import InvalidArgument
from avatar_service.rpc.effective import frame_rate, voice_settings
from avatar_service.rpc.paging import page_of

DEMONSTRATION_TIER = "nano"


def avatar_message(avatar: Avatar) -> WireAvatar:
    """An avatar of the catalogue: each can be used, by everybody."""
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
        public=True,
        content_sha256=avatar.sha256,
    )


def get_avatar(asked: GetAvatarRequest, catalogue: Catalogue) -> GetAvatarResponse:
    """One avatar. Raises InvalidArgument without a name, NotFound if there is none of that name."""
    if not asked.name:
        raise InvalidArgument("name", "is empty; give `avatars/{id}` as ListAvatars does")
    return GetAvatarResponse(avatar=avatar_message(catalogue.get(asked.name, "name")))


def list_avatars(asked: ListAvatarsRequest, catalogue: Catalogue) -> ListAvatarsResponse:
    """A page of avatars by name. Raises InvalidArgument."""
    page, token = page_of(catalogue.all(), lambda avatar: avatar.name, "avatars", asked.page_size, asked.page_token)
    return ListAvatarsResponse(avatars=map(avatar_message, page), next_page_token=token)


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
