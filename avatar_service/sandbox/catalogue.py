"""The model names that the stand-in vendors know, and how they list them.

Every chat name is answered by the same small model, every transcription name by the same transcriber, every speech
name by the same voice model. Names are those of the SDKs that the service is built against.
"""

from typing import Any, Final

CHAT_MODELS: Final = (
    "gpt-4o-mini",
    "gpt-4o",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4.1-nano",
    "gpt-5",
    "gpt-5-mini",
    "gpt-5-nano",
    "gpt-5.1",
    "gpt-5.2",
    "gpt-5.4",
    "gpt-5.4-mini",
    "gpt-5.4-nano",
    "gpt-5.5",
    "gpt-5.6-sol",
    "gpt-5.6-terra",
    "gpt-5.6-luna",
    "gpt-6-astra",
    "gpt-6-sol",
    "gpt-6-luna",
)

TRANSCRIPTION_MODELS: Final = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
)

SPEECH_MODELS: Final = (
    "eleven_multilingual_v2",
    "eleven_flash_v2_5",
    "eleven_turbo_v2_5",
    "eleven_turbo_v2",
    "eleven_flash_v2",
    "eleven_v3",
    "eleven_v3_conversational",
    "eleven_v4",
    "eleven_v4_turbo",
)

_CREATED: Final = 1_700_000_000


def openai_model(name: str) -> dict[str, Any]:
    """Return one entry of OpenAI's list of models."""
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "sandbox"}


def openai_models() -> dict[str, Any]:
    """Return OpenAI's list of models."""
    return {"object": "list", "data": [openai_model(name) for name in (*CHAT_MODELS, *TRANSCRIPTION_MODELS)]}


def elevenlabs_models() -> list[dict[str, Any]]:
    """Return ElevenLabs's list of models."""
    return [
        {
            "model_id": name,
            "name": name.replace("_", " ").title(),
            "description": "Answered by the sandbox's own small voice.",
            "can_do_text_to_speech": True,
            "can_do_voice_conversion": False,
            "can_be_finetuned": False,
            "can_use_style": False,
            "can_use_speaker_boost": False,
            "serves_pro_voices": False,
            "requires_alpha_access": False,
            "token_cost_factor": 1.0,
            "maximum_text_length_per_request": 5000,
            "languages": [{"language_id": "en", "name": "English"}],
        }
        for name in SPEECH_MODELS
    ]
