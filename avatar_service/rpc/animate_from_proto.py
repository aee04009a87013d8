"""What an `Animate` stream was asked for, completed with what this server has."""

from dataclasses import dataclass

from avatar.v1 import AnimateConfig
from avatar_service.access.identity import caller
from avatar_service.avatars.catalogue import Avatar, Catalogue
from avatar_service.media.wire_audio import AudioEncoding
from avatar_service.rpc.checks import not_served
from avatar_service.rpc.media_from_proto import WireAudio, check_labels, frames_wanted, lead_s, wire_audio
from avatar_service.settings import Settings
from avatar_service.stages.spans import SpanPolicy
from avatar_service.turn.turn import MediaSettings

DEFAULT_RATE_HZ = 24_000
ENCODINGS = (AudioEncoding.LINEAR16, AudioEncoding.MULAW)
"""Encodings that a caller's own voice may have, as the contract says."""


@dataclass(frozen=True, slots=True)
class AnimationConfig:
    """Whom the caller's voice moves, and how it comes and goes back."""

    avatar: Avatar
    media: MediaSettings
    audio: WireAudio
    idle_frames: bool


def animation_config(asked: AnimateConfig, settings: Settings, catalogue: Catalogue) -> AnimationConfig:
    """The configuration with every default filled in. Raises ClientError for a field that is wrong or not served."""
    if asked.HasField("idle_timeout"):
        raise not_served("config.idle_timeout", "streams that may be silent for any time")
    check_labels(asked.end_user_id, asked.metadata, "config.")
    avatar = catalogue.get(asked.avatar, "config.avatar", caller().tenant)
    frames = frames_wanted(asked.frame_format, "config.frame_format", avatar)
    audio = wire_audio(asked.audio_format, "config.audio_format", DEFAULT_RATE_HZ, ENCODINGS)
    media = MediaSettings(
        avatar_key=avatar.key,
        loop_length=avatar.loop_length,
        fps=avatar.fps,
        rate_hz=audio.rate_hz,
        lead_s=lead_s(asked.pacing, "config.pacing"),
        unpaced=asked.pacing.unpaced,
        spans=SpanPolicy.chosen(settings.lip_sync),
        frames=frames,
    )
    return AnimationConfig(avatar, media, audio, idle_frames=asked.idle_frames and not media.unpaced)
