"""What a request for speech may say, checked as the vendor checks it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from aiohttp import web

from avatar_service.sandbox.catalogue import SPEECH_MODELS
from avatar_service.sandbox.elevenlabs_voices import VOICES, Voice, find_voice
from avatar_service.sandbox.errors import VendorError, elevenlabs_error, elevenlabs_invalid
from avatar_service.sandbox.serving import read_body
from avatar_service.sandbox.settings import SandboxSettings
from avatar_service.sandbox.speech_formats import DEFAULT_FORMAT, SpeechFormat

_MIN_SPEED: Final = 0.7
_MAX_SPEED: Final = 1.2
_MAX_LATENCY_OPTION: Final = 4
_WITHOUT_CONTEXT: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("previous_text", "next_text"): ("eleven_v3",),
    ("previous_request_ids", "next_request_ids"): ("eleven_v3", "eleven_v3_conversational"),
}
"""Fields that the vendor refuses with some models."""
SOCKETLESS_MODELS: Final = ("eleven_v3",)
"""Models that the vendor does not serve on a WebSocket."""


@dataclass(frozen=True, slots=True)
class SpeechStyle:
    """How texts are spoken and in what format they leave."""

    voice: Voice
    output_format: SpeechFormat
    speed: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """A checked request over HTTP."""

    text: str
    style: SpeechStyle


async def read_speech_request(
    request: web.Request, formats: Mapping[str, SpeechFormat], settings: SandboxSettings
) -> SpeechRequest:
    """Check path, query and body of a request; raises the vendor's error."""
    voice = voice_of(request.match_info["voice_id"])
    output_format = format_of(request.query, formats)
    try:
        body = json.loads(await read_body(request, settings.deadline_s))
    except (ValueError, RecursionError) as error:
        raise elevenlabs_invalid("JSON decode error", "body") from error
    if not isinstance(body, dict):
        raise elevenlabs_invalid("Input should be a valid dictionary", "body")
    check_model(body.get("model_id"))
    check_language(body.get("language_code"))
    _check_context(body)
    _check_extras(body)
    style = SpeechStyle(voice, output_format, speed_of(body.get("voice_settings")), seed_of(body.get("seed")))
    return SpeechRequest(_text(body, settings.max_text_chars), style)


def voice_of(voice_id: str) -> Voice:
    """Return the voice; 404 if there is none of that id."""
    voice = find_voice(voice_id)
    if voice is None:
        served = ", ".join(f"{voice.voice_id} ({voice.name})" for voice in VOICES)
        raise elevenlabs_error(
            404, "voice_not_found", f"A voice with voice_id '{voice_id[:80]}' was not found. Served: {served}."
        )
    return voice


def format_of(query: Mapping[str, str], formats: Mapping[str, SpeechFormat]) -> SpeechFormat:
    """Return the output format of a query; 422 if the vendor has none of that name."""
    option = query.get("optimize_streaming_latency", "0")
    if not option.isdecimal() or int(option) > _MAX_LATENCY_OPTION:
        raise elevenlabs_invalid("Input should be an integer between 0 and 4", "query", "optimize_streaming_latency")
    output_format = formats.get(query.get("output_format") or DEFAULT_FORMAT)
    if output_format is None:
        raise elevenlabs_invalid(f"Input should be one of: {', '.join(formats)}", "query", "output_format")
    return output_format


def check_model(model: Any) -> None:
    """Refuse a model that the vendor does not have."""
    if model is not None and model not in SPEECH_MODELS:
        message = f"A model with the requested ID does not exist. Served: {', '.join(SPEECH_MODELS)}."
        raise elevenlabs_error(400, "model_not_found", message)


def check_language(code: Any) -> None:
    """Refuse every language but the voice's own."""
    if code not in (None, "en"):
        raise elevenlabs_error(400, "unsupported_language", "This sandbox speaks English only (language_code 'en').")


def _check_context(body: Mapping[str, Any]) -> None:
    """Refuse what comes before or after the text where the vendor's model takes none."""
    for fields, models in _WITHOUT_CONTEXT.items():
        if body.get("model_id") in models and any(body.get(field) for field in fields):
            message = f"Providing {' or '.join(fields)} is not yet supported with the '{body['model_id']}' model."
            raise elevenlabs_error(400, "unsupported_model", message, "model_id")


def _check_extras(body: Mapping[str, Any]) -> None:
    """Refuse what would change the sound at the vendor and cannot here."""
    if body.get("pronunciation_dictionary_locators"):
        raise elevenlabs_error(
            404, "pronunciation_dictionary_not_found", "This sandbox has no pronunciation dictionaries."
        )
    if body.get("audio_effects"):
        raise elevenlabs_error(400, "audio_effects_not_supported", "This sandbox has no audio effects.")


def _text(body: Mapping[str, Any], max_chars: int) -> str:
    text = body.get("text")
    if not isinstance(text, str):
        raise elevenlabs_invalid("Input should be a valid string", "body", "text")
    if not text.strip():
        raise elevenlabs_error(400, "input_text_empty", "Input text should not be empty.")
    if len(text) > max_chars:
        message = f"The text has {len(text)} characters, more than the maximum of {max_chars} for one request."
        raise elevenlabs_error(400, "max_character_limit_exceeded", message)
    return text


def speed_of(voice_settings: Any) -> float:
    """Return the speed; the other settings are checked and have no effect on this voice."""
    if voice_settings is None:
        return 1.0
    if not isinstance(voice_settings, dict):
        raise elevenlabs_invalid("Input should be a valid dictionary", "body", "voice_settings")
    for name in ("stability", "similarity_boost", "style", "clone_strength"):
        _setting(voice_settings, name, 0.0, 1.0)
    if not isinstance(voice_settings.get("use_speaker_boost") or False, bool):
        raise elevenlabs_invalid("Input should be a valid boolean", "body", "voice_settings", "use_speaker_boost")
    speed = _setting(voice_settings, "speed", _MIN_SPEED, _MAX_SPEED)
    return 1.0 if speed is None else speed


def _setting(voice_settings: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    value = voice_settings.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise elevenlabs_invalid("Input should be a valid number", "body", "voice_settings", name)
    if not least <= value <= most:
        raise _out_of_range(name, least, most)
    return float(value)


def _out_of_range(name: str, least: float, most: float) -> VendorError:
    message = (
        f"Invalid setting for {name} received, expected to be greater or equal to {least} and less or equal to {most}."
    )
    return elevenlabs_error(400, "invalid_voice_settings", message)


def seed_of(seed: Any) -> int:
    """Return the seed of the voice's noise; 0 unless the request asks for another."""
    if seed is None:
        return 0
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= np.iinfo(np.uint32).max:
        raise elevenlabs_invalid("Input should be an integer between 0 and 4294967295", "body", "seed")
    return seed
