"""The first response of a session: the effective configuration and the limits in force."""

from avatar.v1 import (
    AudioEncoding,
    AudioFormat,
    ChatConfig,
    ConverseConfig,
    EchoHandling,
    FrameEncoding,
    FrameFormat,
    FrameRate,
    Limits,
    PacingConfig,
    SessionStarted,
    TranscriptionConfig,
    TurnTakingConfig,
    TurnTakingMode,
    VoiceConfig,
    VoiceSettings,
)
from avatar_service.rpc.to_proto import seconds
from avatar_service.rpc.writer import STALL_S
from avatar_service.session.config import SessionConfig
from avatar_service.settings import LimitSettings, ServerSettings


def session_started(
    session_id: str, config: SessionConfig, asked: ConverseConfig, server: ServerSettings, limits: LimitSettings
) -> SessionStarted:
    """What holds for this session, every default filled in; the caller's own labels are echoed."""
    return SessionStarted(
        config=_effective(config, asked),
        session_id=session_id,
        limits=Limits(
            max_message_bytes=limits.message_bytes,
            max_text_characters=limits.text_characters,
            max_utterance=seconds(limits.utterance_s),
            max_buffered_audio=seconds(limits.buffered_audio_s),
            max_queued_says=limits.queued_turns,
            max_concurrent_sessions=server.max_sessions,
            max_reader_stall=seconds(STALL_S),
        ),
        frame_width=config.avatar.width,
        frame_height=config.avatar.height,
    )


def _effective(config: SessionConfig, asked: ConverseConfig) -> ConverseConfig:
    turn, linear16 = config.turn, AudioEncoding.AUDIO_ENCODING_LINEAR16
    return ConverseConfig(
        avatar=f"avatars/{config.avatar.avatar_id}",
        input_audio=AudioFormat(encoding=linear16, sample_rate_hertz=config.input_rate_hz),
        output_audio=AudioFormat(encoding=linear16, sample_rate_hertz=turn.rate_hz),
        frame_format=FrameFormat(
            encoding=FrameEncoding.FRAME_ENCODING_JPEG,
            frame_rate=FrameRate(numerator=turn.fps.numerator, denominator=turn.fps.denominator),
            width=config.avatar.width,
            height=config.avatar.height,
            jpeg_quality=80,
        ),
        idle_frames=False,
        pacing=PacingConfig(lead=seconds(turn.lead_s)),
        turn_taking=_turn_taking(config),
        transcription=TranscriptionConfig(
            model=turn.transcription.model, language=turn.transcription.language, prompt=turn.transcription.prompt
        ),
        chat=ChatConfig(
            model=turn.chat.model, temperature=turn.chat.temperature, max_output_tokens=turn.chat.max_tokens
        ),
        voice=_voice(config),
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
        barge_in=config.barge_in,
        false_barge_in_wait=seconds(0),
    )


def _voice(config: SessionConfig) -> VoiceConfig:
    voice = config.turn.voice
    return VoiceConfig(
        voice=f"voices/{voice.voice_id}",
        model=voice.model,
        settings=VoiceSettings(
            stability=voice.stability,
            similarity_boost=voice.similarity_boost,
            style=voice.style,
            use_speaker_boost=voice.use_speaker_boost,
            speed=voice.speed,
        ),
        language=voice.language,
    )
