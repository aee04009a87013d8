"""The voices of the stand-in for ElevenLabs: one model, heard at other pitches and tempos.

Ids and names are those of the vendor's own premade voices, so that its examples run unchanged.
"""

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Voice:
    """Factors on the model's own voice, above 1 higher or faster.

    ``pitch`` moves the whole spectrum, ``intonation`` the fundamental alone.
    """

    voice_id: str
    name: str
    pitch: float
    intonation: float
    tempo: float
    gender: str
    age: str
    description: str


VOICES: Final = (
    Voice("21m00Tcm4TlvDq8ikWAM", "Rachel", 1.0, 1.0, 1.0, "female", "young", "The model's own voice."),
    Voice("JBFqnCBsd6RMkjVDRZzb", "George", 0.78, 0.88, 0.95, "male", "middle_aged", "Low and unhurried."),
    Voice("pNInz6obpgDQGcFmaJgB", "Adam", 0.86, 0.9, 1.08, "male", "young", "Lower than the model's, and brisk."),
    Voice("EXAVITQu4vr4xnSDxMaL", "Sarah", 1.12, 1.0, 1.0, "female", "young", "Higher than the model's voice."),
)

DEFAULT_SETTINGS: Final[dict[str, Any]] = {
    "stability": 0.5,
    "similarity_boost": 0.75,
    "style": 0.0,
    "use_speaker_boost": True,
    "speed": 1.0,
}


def find_voice(voice_id: str) -> Voice | None:
    """Return the voice of an id, or None."""
    return next((voice for voice in VOICES if voice.voice_id == voice_id), None)


def search_voices(words: str) -> list[Voice]:
    """Return the voices whose name, description or labels hold ``words``, in any case; all for no words."""
    wanted = words.strip().lower()
    return [
        voice for voice in VOICES if wanted in f"{voice.name} {voice.description} {voice.gender} {voice.age}".lower()
    ]


def voice_json(voice: Voice, *, with_settings: bool = True) -> dict[str, Any]:
    """Return a voice as the vendor lists it."""
    body: dict[str, Any] = {
        "voice_id": voice.voice_id,
        "name": voice.name,
        "samples": None,
        "category": "premade",
        "fine_tuning": {"is_allowed_to_fine_tune": False, "state": {}, "language": None},
        "labels": {
            "accent": "american",
            "age": voice.age,
            "gender": voice.gender,
            "language": "en",
            "use_case": "conversational",
        },
        "description": f"{voice.description} Spoken by the sandbox's small model.",
        "preview_url": None,
        "available_for_tiers": [],
        "high_quality_base_model_ids": [],
        "verified_languages": [],
        "is_owner": False,
        "is_legacy": False,
        "is_mixed": False,
    }
    return body | {"settings": dict(DEFAULT_SETTINGS)} if with_settings else body
