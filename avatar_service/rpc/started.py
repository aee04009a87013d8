"""The first response of each call: what it was asked for, every default filled in, and the limits in force."""

from avatar.v1 import (
    AnimateConfig,
    AnimateStarted,
    ChatConfig,
    ConverseConfig,
    EchoHandling,
    SessionStarted,
    SpeakRequest,
    SpeakStarted,
    TranscriptionConfig,
    TurnTakingConfig,
    TurnTakingMode,
)
from avatar_service.rpc.animate_from_proto import AnimationConfig
from avatar_service.rpc.completed_to_proto import seconds
from avatar_service.rpc.config_from_proto import Conversation
from avatar_service.rpc.effective import (
    audio_format,
    frame_format,
    frame_size,
    limits_in_force,
    pacing,
    voice_config,
)
from avatar_service.rpc.speak_from_proto import Monologue
from avatar_service.session.config import SessionConfig
from avatar_service.settings import Settings


def session_started(
    session_id: str, conversation: Conversation, asked: ConverseConfig, settings: Settings
) -> SessionStarted:
    """What holds for a conversation; the caller's own labels are echoed."""
    session = conversation.session
    width, height = frame_size(session.avatar, session.turn.media)
    return SessionStarted(
        config=_conversation(conversation, asked),
        session_id=session_id,
        limits=limits_in_force(settings),
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
            frame_format=None if media.audio_only else frame_format(avatar),
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
            frame_format=frame_format(avatar),
            idle_frames=False,
            pacing=pacing(animation.media),
            end_user_id=asked.end_user_id,
            metadata=asked.metadata,
        ),
        session_id=session_id,
        limits=limits_in_force(settings),
        frame_width=avatar.width,
        frame_height=avatar.height,
    )


def _conversation(conversation: Conversation, asked: ConverseConfig) -> ConverseConfig:
    config, turn = conversation.session, conversation.session.turn
    return ConverseConfig(
        avatar=config.avatar.name,
        input_audio=audio_format(conversation.input_audio),
        output_audio=audio_format(conversation.output_audio),
        frame_format=None if turn.media.audio_only else frame_format(config.avatar),
        audio_only=turn.media.audio_only,
        idle_frames=False,
        pacing=pacing(turn.media),
        turn_taking=_turn_taking(config),
        transcription=TranscriptionConfig(
            model=turn.transcription.model, language=turn.transcription.language, prompt=turn.transcription.prompt
        ),
        chat=ChatConfig(
            model=turn.chat.model, temperature=turn.chat.temperature, max_output_tokens=turn.chat.max_tokens
        ),
        voice=voice_config(turn.voice),
        system_prompt=turn.system_prompt,
        first_message=config.first_message,
        end_user_id=asked.end_user_id,
        metadata=asked.metadata,
        echo_handling=EchoHandling.ECHO_HANDLING_CLIENT_CANCELS,
    )


def _turn_taking(config: SessionConfig) -> TurnTakingConfig:
    return TurnTakingConfig(
        mode=TurnTakingMode.TURN_TAKING_MODE_AUTOMATIC,
        threshold=config.endpointing.threshold,
        prefix=seconds(config.endpointing.prefix_s),
        minimum_speech=seconds(config.endpointing.minimum_speech_s),
        silence=seconds(config.endpointing.silence_s),
        barge_in=config.turn_taking.barge_in,
        false_barge_in_wait=seconds(0),
    )
