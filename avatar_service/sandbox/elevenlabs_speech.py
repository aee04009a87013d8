"""``POST v1/text-to-speech/{voice_id}``: one text as encoded speech, whole or streamed, with or without timestamps."""

import json
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from aiohttp import web

from avatar_service.sandbox.alignment import Alignment
from avatar_service.sandbox.elevenlabs_request import SpeechRequest, read_speech_request
from avatar_service.sandbox.errors import elevenlabs_invalid
from avatar_service.sandbox.fault_answers import fault_of, open_answer
from avatar_service.sandbox.fault_content import FaultySpeech
from avatar_service.sandbox.models import Models
from avatar_service.sandbox.pacing import Drip, hold_first_byte
from avatar_service.sandbox.serving import RECORD
from avatar_service.sandbox.settings import SandboxSettings, check_speech_rate
from avatar_service.sandbox.speaking import Speaker, SpokenSentence
from avatar_service.sandbox.speech_formats import CONVERT_FORMATS, STREAM_FORMATS
from avatar_service.sandbox.timed_speech import TimedChunk, http_alignment, timed_chunks

SPEECH_RATE_HEADER: Final = "x-sandbox-speech-rate"
_KEPT: Final = 64
"""Texts whose speech is kept at most."""


class Speech:
    """The routes and what they need."""

    def __init__(self, models: Models, settings: SandboxSettings, *, keeps: bool = False) -> None:
        """With ``keeps`` a text that was spoken once is not made again."""
        self._models = models
        self._settings = settings
        self._kept: dict[SpeechRequest, list[SpokenSentence]] | None = {} if keeps else None

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Speak; the first sentence leaves while the next are not made yet, dripped if a speech rate is set."""
        speech = await read_speech_request(request, STREAM_FORMATS, self._settings)
        drip = Drip(speech_rate(request, self._settings.speech_rate))
        received_s = time.monotonic()
        answer = open_answer(request, speech.style.output_format.content_type, _headers(speech))
        async with aclosing(self._speak(request, speech)) as sentences:
            async for sentence in sentences:
                await hold_first_byte(received_s, self._settings.speech_delay_s)
                for piece in sentence.pieces:
                    await drip.until_due(piece.start_s)
                    await answer.write(piece.data)
        return await answer.end()

    async def stream_with_timestamps(self, request: web.Request) -> web.StreamResponse:
        """Speak; each line of the answer is a JSON object with a chunk of sound and its characters' times."""
        speech = await read_speech_request(request, STREAM_FORMATS, self._settings)
        drip = Drip(speech_rate(request, self._settings.speech_rate))
        received_s = time.monotonic()
        answer = open_answer(request, "application/json", _headers(speech))
        async with aclosing(self._speak(request, speech)) as sentences:
            async for sentence in sentences:
                await hold_first_byte(received_s, self._settings.speech_delay_s)
                for chunk in timed_chunks(sentence):
                    await drip.until_due(chunk.start_s)
                    await answer.write(json.dumps(_timed(chunk)).encode() + b"\n")
        return await answer.end()

    async def convert(self, request: web.Request) -> web.StreamResponse:
        """Speak; the answer leaves as a whole."""
        speech, sentences = await self._speak_all(request)
        sound = b"".join(piece.data for sentence in sentences for piece in sentence.pieces)
        return web.Response(body=sound, content_type=speech.style.output_format.content_type, headers=_headers(speech))

    async def convert_with_timestamps(self, request: web.Request) -> web.StreamResponse:
        """Speak; the answer is one JSON object with the sound and its characters' times."""
        speech, sentences = await self._speak_all(request)
        sound = b"".join(piece.data for sentence in sentences for piece in sentence.pieces)
        written = sum((sentence.written for sentence in sentences), Alignment())
        read = sum((sentence.read for sentence in sentences), Alignment())
        return web.json_response(_timed(TimedChunk(sound, 0.0, written, read)), headers=_headers(speech))

    async def _speak_all(self, request: web.Request) -> tuple[SpeechRequest, list[SpokenSentence]]:
        """Speak the whole text and wait until its first byte may leave."""
        speech = await read_speech_request(request, CONVERT_FORMATS, self._settings)
        received_s = time.monotonic()
        async with aclosing(self._speak(request, speech, streamed=False)) as sentences:
            spoken = [sentence async for sentence in sentences]
        await hold_first_byte(received_s, self._settings.speech_delay_s)
        return speech, spoken

    def _speak(
        self, request: web.Request, speech: SpeechRequest, *, streamed: bool = True
    ) -> AsyncGenerator[SpokenSentence, None]:
        """Yield the sentences with the request's fault."""
        return FaultySpeech(fault_of(request)).of(self._sentences(request, speech), streamed=streamed)

    async def _sentences(self, request: web.Request, speech: SpeechRequest) -> AsyncGenerator[SpokenSentence, None]:
        """Yield the sentences and keep the record's figures."""
        figures = request[RECORD].figures
        figures.update(audio_s=0.0, model_s=0.0)
        for sentence in (self._kept or {}).get(speech, ()):
            yield sentence
            figures["audio_s"] = sentence.pieces[-1].end_s
        if figures["audio_s"]:
            return
        speaker, made = Speaker(self._models.hibari, speech.style, self._settings.deadline_s), list[SpokenSentence]()
        async with aclosing(speaker.speak(speech.text, last=True)) as sentences:
            async for sentence in sentences:
                figures["model_s"] += sentence.model_s
                figures["audio_s"] = speaker.duration_s
                made.append(sentence)
                yield sentence
        if self._kept is not None and len(self._kept) < _KEPT:
            self._kept[speech] = made


def speech_rate(request: web.Request, default: float | None) -> float | None:
    """Return the speech rate of a request's fault, or that its header asks for, or the sandbox's own."""
    fault = fault_of(request)
    if fault is not None and fault.name == "drip":
        return fault.rate
    header = request.headers.get(SPEECH_RATE_HEADER)
    if header is None:
        return default
    try:
        return check_speech_rate(float(header))
    except ValueError as error:
        raise elevenlabs_invalid(f"{error}", "header", SPEECH_RATE_HEADER) from error


def _headers(speech: SpeechRequest) -> dict[str, str]:
    return {"character-cost": str(len(speech.text)), "history-item-id": secrets.token_hex(10)}


def _timed(chunk: TimedChunk) -> dict[str, Any]:
    return {
        "audio_base64": chunk.audio_base64,
        "alignment": http_alignment(chunk.written),
        "normalized_alignment": http_alignment(chunk.read),
    }
