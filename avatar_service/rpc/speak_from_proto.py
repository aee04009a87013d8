"""What a `Speak` call was asked for, completed with what this server has."""

from dataclasses import dataclass

from avatar.v1 import SpeakRequest
from avatar_service.access.identity import caller
from avatar_service.avatars.catalogue import Avatar, Catalogue
from avatar_service.engines.base import Voice
from avatar_service.rpc.checks import spoken_text
from avatar_service.rpc.media_from_proto import (
    WireAudio,
    check_labels,
    frames_wanted,
    lead_s,
    output_audio,
    voice_from,
)
from avatar_service.settings import Settings
from avatar_service.stages.spans import SpanPolicy
from avatar_service.turn.turn import MediaSettings


@dataclass(frozen=True, slots=True)
class Monologue:
    """A text, and how it is said, shown and sent."""

    text: str
    avatar: Avatar
    voice: Voice
    media: MediaSettings
    output_audio: WireAudio


def monologue(asked: SpeakRequest, settings: Settings, catalogue: Catalogue, voice_hz: int) -> Monologue:
    """The request with every default filled in. Raises ClientError for a field that is wrong or not served."""
    text = spoken_text("text", asked.text, settings.limits.text_characters)
    check_labels(asked.end_user_id, asked.metadata, "")
    avatar = catalogue.get(asked.avatar, tenant=caller().tenant)
    frames = frames_wanted(asked.frame_format, "frame_format", avatar)
    wire = output_audio(asked.output_audio, "output_audio", voice_hz, avatar)
    media = MediaSettings(
        avatar_key=avatar.key,
        loop_length=avatar.loop_length,
        fps=avatar.fps,
        rate_hz=wire.voice_rate_hz(voice_hz),
        lead_s=lead_s(asked.pacing, "pacing"),
        unpaced=asked.pacing.unpaced,
        audio_only=asked.audio_only,
        codec_delay_s=wire.encoding.delay_s,
        spans=SpanPolicy.chosen(settings.lip_sync),
        frames=frames,
    )
    return Monologue(text, avatar, voice_from(asked.voice, "voice", settings.elevenlabs), media, wire)
