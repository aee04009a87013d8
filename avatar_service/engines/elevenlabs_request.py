"""What is asked of ElevenLabs, in its own words, whichever way it is asked."""

from avatar_service.engines.base import Voice


def voice_settings(voice: Voice) -> dict[str, float | bool]:
    """How the voice is to sound."""
    return {
        "stability": voice.stability,
        "similarity_boost": voice.similarity_boost,
        "style": voice.style,
        "use_speaker_boost": voice.use_speaker_boost,
        "speed": voice.speed,
    }


def language_code(voice: Voice) -> str | None:
    """ISO 639-1, the first part of a BCP-47 code; None if no language is asked for."""
    return voice.language.partition("-")[0].lower() or None
