"""``POST v1/text-to-speech/{voice_id}`` and ``.../stream``: PCM of one text, sentence by sentence."""

import json
import re
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from aiohttp import web

from avatar_service.sandbox.audio import Resampler, Samples, to_pcm16
from avatar_service.sandbox.catalogue import SPEECH_MODELS, VOICE_ID
from avatar_service.sandbox.errors import VendorError, elevenlabs_error, elevenlabs_invalid
from avatar_service.sandbox.hibari import RATE_HZ, unspeakable
from avatar_service.sandbox.models import Models
from avatar_service.sandbox.pacing import Drip, hold_first_byte
from avatar_service.sandbox.serving import RECORD, StreamedAnswer
from avatar_service.sandbox.settings import SandboxSettings, check_speech_rate

PCM_RATES_HZ: Final = (8000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
SPEECH_RATE_HEADER: Final = "x-sandbox-speech-rate"

_DEFAULT_FORMAT: Final = "mp3_44100_128"
_VENDOR_FORMAT: Final = re.compile(r"(mp3_(22050|24000|44100)|opus_48000)_\d{2,3}|(ulaw|alaw)_8000")
_MIN_SPEED: Final = 0.7
_MAX_SPEED: Final = 1.2
_PIECE_S: Final = 0.02
"""Speech leaves in pieces of this duration."""


@dataclass(frozen=True, slots=True)
class _SpeechRequest:
    """What of the request matters here."""

    text: str
    speed: float
    seed: int
    rate_hz: int


class Speech:
    """The routes and what they need."""

    def __init__(self, models: Models, settings: SandboxSettings) -> None:
        self._models = models
        self._settings = settings

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Speak; the first sentence leaves while the next are not made yet, dripped if a speech rate is set."""
        speech = await self._read(request)
        drip = Drip(self._speech_rate(request))
        received_s = time.monotonic()
        piece_bytes = 2 * round(_PIECE_S * speech.rate_hz)
        answer = StreamedAnswer(request, "audio/pcm", _headers(speech))
        sent_bytes = 0
        async with aclosing(self._speak(request, speech)) as sentences:
            async for pcm in sentences:
                await hold_first_byte(received_s, self._settings.speech_delay_s)
                for start in range(0, len(pcm), piece_bytes):
                    await drip.until_due(sent_bytes / (2 * speech.rate_hz))
                    piece = pcm[start : start + piece_bytes]
                    await answer.write(piece)
                    sent_bytes += len(piece)
        return await answer.end()

    async def convert(self, request: web.Request) -> web.StreamResponse:
        """Speak; the answer leaves as a whole."""
        speech = await self._read(request)
        received_s = time.monotonic()
        async with aclosing(self._speak(request, speech)) as sentences:
            pcm = b"".join([sentence async for sentence in sentences])
        await hold_first_byte(received_s, self._settings.speech_delay_s)
        return web.Response(body=pcm, content_type="audio/pcm", headers=_headers(speech))

    async def _speak(self, request: web.Request, speech: _SpeechRequest) -> AsyncGenerator[bytes, None]:
        """Yield the PCM of each sentence; one sentence is one task of the model, so that requests take turns."""
        figures = request[RECORD].figures
        figures.update(audio_s=0.0, model_s=0.0)
        resampler = Resampler(RATE_HZ, speech.rate_hz)
        deadline_s = self._settings.deadline_s
        sentences = await self._models.hibari.run(lambda voice, _: voice.phonemize(speech.text), deadline_s=deadline_s)
        for number, phonemes in enumerate(sentences or [""]):
            started_s = time.monotonic()
            samples = await self._sentence(phonemes, speech, number)
            pcm = to_pcm16(resampler.resample(samples, last=number + 1 >= len(sentences)))
            figures["model_s"] += time.monotonic() - started_s
            figures["audio_s"] += len(pcm) / (2 * speech.rate_hz)
            yield pcm

    async def _sentence(self, phonemes: str, speech: _SpeechRequest, number: int) -> Samples:
        if not phonemes:
            return unspeakable()
        return await self._models.hibari.run(
            lambda voice, _: voice.synthesize(phonemes, speech.speed, speech.seed + number),
            deadline_s=self._settings.deadline_s,
        )

    async def _read(self, request: web.Request) -> _SpeechRequest:
        """Check path, query and body."""
        voice_id = request.match_info["voice_id"]
        if voice_id != VOICE_ID:
            raise elevenlabs_error(
                404, "voice_not_found", f"A voice with voice_id '{voice_id[:80]}' was not found. Served: {VOICE_ID}."
            )
        rate_hz = _rate_hz(request.query.get("output_format", _DEFAULT_FORMAT))
        try:
            body = json.loads(await request.read())
        except (ValueError, RecursionError) as error:
            raise elevenlabs_invalid("JSON decode error", "body") from error
        if not isinstance(body, dict):
            raise elevenlabs_invalid("Input should be a valid dictionary", "body")
        _check_model(body)
        return _SpeechRequest(
            text=self._text(body),
            speed=_speed(body.get("voice_settings")),
            seed=_seed(body.get("seed")),
            rate_hz=rate_hz,
        )

    def _text(self, body: Mapping[str, Any]) -> str:
        text = body.get("text")
        if not isinstance(text, str):
            raise elevenlabs_invalid("Input should be a valid string", "body", "text")
        if not text.strip():
            raise elevenlabs_error(400, "input_text_empty", "Input text should not be empty.")
        if len(text) > self._settings.max_text_chars:
            limit = self._settings.max_text_chars
            message = f"The text has {len(text)} characters, more than the maximum of {limit} for one request."
            raise elevenlabs_error(400, "max_character_limit_exceeded", message)
        return text

    def _speech_rate(self, request: web.Request) -> float | None:
        header = request.headers.get(SPEECH_RATE_HEADER)
        if header is None:
            return self._settings.speech_rate
        try:
            return check_speech_rate(float(header))
        except ValueError as error:
            raise elevenlabs_invalid(f"{error}", "header", SPEECH_RATE_HEADER) from error


def _headers(speech: _SpeechRequest) -> dict[str, str]:
    return {"character-cost": str(len(speech.text)), "history-item-id": secrets.token_hex(10)}


def _rate_hz(output_format: str) -> int:
    """Return the sample rate of a PCM format."""
    served = {f"pcm_{rate_hz}": rate_hz for rate_hz in PCM_RATES_HZ}
    if output_format in served:
        return served[output_format]
    names = ", ".join(served)
    if _VENDOR_FORMAT.fullmatch(output_format):
        message = f"This sandbox does not serve output_format '{output_format}'. It serves: {names}."
        raise elevenlabs_error(403, "output_format_not_allowed", message)
    raise elevenlabs_invalid(f"Unknown output_format; this sandbox serves: {names}", "query", "output_format")


def _check_model(body: Mapping[str, Any]) -> None:
    model = body.get("model_id", SPEECH_MODELS[0])
    if model not in SPEECH_MODELS:
        message = f"A model with the requested ID does not exist. Served: {', '.join(SPEECH_MODELS)}."
        raise elevenlabs_error(400, "model_not_found", message)
    if body.get("language_code") not in (None, "en"):
        raise elevenlabs_error(400, "unsupported_language", "This sandbox speaks English only (language_code 'en').")


def _speed(voice_settings: Any) -> float:
    """Return the speed; the other settings are accepted and have no effect on this voice."""
    if voice_settings is None:
        return 1.0
    if not isinstance(voice_settings, dict):
        raise elevenlabs_invalid("Input should be a valid dictionary", "body", "voice_settings")
    for name in ("stability", "similarity_boost", "style"):
        _setting(voice_settings, name, 0.0, 1.0)
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


def _seed(seed: Any) -> int:
    """Return the seed of the voice's noise; 0 unless the request asks for another."""
    if seed is None:
        return 0
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= np.iinfo(np.uint32).max:
        raise elevenlabs_invalid("Input should be an integer between 0 and 4294967295", "body", "seed")
    return seed
