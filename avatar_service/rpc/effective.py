"""The configuration in force, as the first response of each call tells it: the parts that they have in common."""

from fractions import Fraction

from avatar.v1 import (
    AudioFormat,
    FrameFormat,
    FrameRate,
    Limits,
    PacingConfig,
    VoiceConfig,
    VoiceSettings,
)
from avatar_service.avatars.catalogue import Avatar
from avatar_service.engines.base import Voice
from avatar_service.media.frame_codec import FrameEncoding
from avatar_service.rpc.completed_to_proto import seconds
from avatar_service.rpc.media_from_proto import ENCODINGS, FRAME_ENCODINGS, JPEG_QUALITY, WireAudio
from avatar_service.settings import Settings
from avatar_service.turn.pacing import READER_STALL_S
from avatar_service.turn.turn import MediaSettings


def limits_in_force(settings: Settings) -> Limits:
    """The limits of every stream."""
    limits = settings.limits
    return Limits(
        max_message_bytes=limits.message_bytes,
        max_text_characters=limits.text_characters,
        max_utterance=seconds(limits.utterance_s),
        max_buffered_audio=seconds(limits.buffered_audio_s),
        max_queued_says=limits.queued_turns,
        max_concurrent_sessions=settings.server.sessions_per_tenant or settings.server.max_sessions,
        max_messages_per_second=limits.messages_per_second,
        max_reader_stall=seconds(READER_STALL_S),
    )


def conversation_limits(settings: Settings) -> Limits:
    """The limits of a conversation, whose stream also has an age."""
    limits = limits_in_force(settings)
    limits.max_session_age.CopyFrom(seconds(settings.sessions.age_s))
    return limits


def audio_format(wire: WireAudio) -> AudioFormat:
    """How audio goes over the wire."""
    return AudioFormat(
        encoding=ENCODINGS[wire.encoding], sample_rate_hertz=wire.rate_hz, bits_per_second=wire.bits_per_second
    )


def frame_rate(fps: Fraction) -> FrameRate:
    """Frames a second."""
    return FrameRate(numerator=fps.numerator, denominator=fps.denominator)


def frame_format(avatar: Avatar, media: MediaSettings) -> FrameFormat:
    """How frames go over the wire."""
    frames = media.frames
    told = FrameFormat(
        encoding=FRAME_ENCODINGS[frames.encoding],
        frame_rate=frame_rate(avatar.fps),
        width=avatar.width,
        height=avatar.height,
    )
    if frames.encoding is FrameEncoding.JPEG:
        told.jpeg_quality = JPEG_QUALITY
    if frames.encoding is FrameEncoding.H264:
        told.bits_per_second = frames.bits_per_second
        told.keyframe_interval.CopyFrom(seconds(frames.keyframe_interval_s))
    return told


def frame_size(avatar: Avatar, media: MediaSettings) -> tuple[int, int]:
    """Width and height of the frames in pixels; zeros where there are none."""
    return (0, 0) if media.audio_only else (avatar.width, avatar.height)


def pacing(media: MediaSettings) -> PacingConfig:
    """How media are paced."""
    return PacingConfig(unpaced=True) if media.unpaced else PacingConfig(lead=seconds(media.lead_s))


def voice_settings(voice: Voice) -> VoiceSettings:
    """How a voice speaks."""
    return VoiceSettings(
        stability=voice.stability,
        similarity_boost=voice.similarity_boost,
        style=voice.style,
        use_speaker_boost=voice.use_speaker_boost,
        speed=voice.speed,
    )


def voice_config(voice: Voice) -> VoiceConfig:
    """Who speaks, and how."""
    return VoiceConfig(
        voice=f"voices/{voice.voice_id}", model=voice.model, settings=voice_settings(voice), language=voice.language
    )
