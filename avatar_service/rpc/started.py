"""The first response of each call: what it was asked for, every default filled in, and the limits in force."""

from avatar.v1 import (
    AnimateConfig,
    AnimateStarted,
    ConverseConfig,
    SessionStarted,
    SpeakRequest,
    SpeakStarted,
)
from avatar_service.rpc.animate_from_proto import AnimationConfig
from avatar_service.rpc.config_from_proto import Conversation
from avatar_service.rpc.effective import (
    audio_format,
    conversation_limits,
    frame_format,
    frame_size,
    limits_in_force,
    pacing,
    voice_config,
)
from avatar_service.rpc.effective_conversation import effective_conversation
from avatar_service.rpc.speak_from_proto import Monologue
from avatar_service.settings import Settings


def session_started(
    session_id: str, conversation: Conversation, asked: ConverseConfig, settings: Settings
) -> SessionStarted:
    """What holds for a conversation; the caller's own labels are echoed."""
    session = conversation.session
    width, height = frame_size(session.avatar, session.turn.media)
    return SessionStarted(
        config=effective_conversation(conversation, asked),
        session_id=session_id,
        limits=conversation_limits(settings),
        frame_width=width,
        frame_height=height,
    )


def speak_started(session_id: str, monologue: Monologue, asked: SpeakRequest) -> SpeakStarted:
    """What holds for a text that is spoken."""
    avatar, media = monologue.avatar, monologue.media
    width, height = frame_size(avatar, media)
    return SpeakStarted(
        config=SpeakRequest(
            avatar=avatar.name,
            voice=voice_config(monologue.voice),
            output_audio=audio_format(monologue.output_audio),
            frame_format=None if media.audio_only else frame_format(avatar, media),
            audio_only=media.audio_only,
            pacing=pacing(media),
            end_user_id=asked.end_user_id,
            metadata=asked.metadata,
        ),
        session_id=session_id,
        frame_width=width,
        frame_height=height,
    )


def animate_started(
    session_id: str, animation: AnimationConfig, asked: AnimateConfig, settings: Settings
) -> AnimateStarted:
    """What holds for an animation of the caller's voice."""
    avatar = animation.avatar
    return AnimateStarted(
        config=AnimateConfig(
            avatar=avatar.name,
            audio_format=audio_format(animation.audio),
            frame_format=frame_format(avatar, animation.media),
            idle_frames=animation.idle_frames,
            pacing=pacing(animation.media),
            end_user_id=asked.end_user_id,
            metadata=asked.metadata,
        ),
        session_id=session_id,
        limits=limits_in_force(settings),
        frame_width=avatar.width,
        frame_height=avatar.height,
    )
