"""``POST audio/transcriptions`` and ``audio/translations``: a recording in, its text out.

The transcriber hears English alone, so a translation into English is a transcript.
"""

import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from aiohttp import web

from avatar_service.sandbox.audio import TRANSCRIPTION_RATE_HZ, UndecodableAudioError, decode
from avatar_service.sandbox.errors import openai_error
from avatar_service.sandbox.fault_answers import fault_of, open_answer
from avatar_service.sandbox.fault_content import faulty_hearing
from avatar_service.sandbox.models import Listener, Models
from avatar_service.sandbox.pacing import hold_first_byte
from avatar_service.sandbox.serving import RECORD
from avatar_service.sandbox.settings import SandboxSettings
from avatar_service.sandbox.transcript import Segment, Transcript
from avatar_service.sandbox.transcript_formats import delta_events, done_event, plain, srt, verbose, vtt
from avatar_service.sandbox.transcription_form import TranscriptionRequest, check_form, read_form
from avatar_service.sandbox.worker import Cancelled

_MIN_AUDIO_S: Final = 0.1
"""The vendor's own least duration."""
_WINDOWS: Final = 64
"""Windows that may wait to be sent."""


class Transcriptions:
    """The routes and what they need."""

    def __init__(self, models: Models, settings: SandboxSettings) -> None:
        self._models = models
        self._settings = settings

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        """Transcribe one upload."""
        return await self._answer(request, "transcribe")

    async def translate(self, request: web.Request) -> web.StreamResponse:
        """Transcribe one upload, whose language is English already."""
        return await self._answer(request, "translate")

    async def _answer(self, request: web.Request, task: str) -> web.StreamResponse:
        asked = check_form(await read_form(request, self._settings), task)
        received_s = time.monotonic()
        async with aclosing(faulty_hearing(fault_of(request), self._hear(request, asked))) as heard:
            if asked.stream:
                return await self._stream(request, asked, heard, received_s)
            transcript = _transcript([part async for part in heard])
        await hold_first_byte(received_s, self._settings.transcription_delay_s)
        return _whole(transcript, asked)

    async def _hear(self, request: web.Request, asked: TranscriptionRequest) -> AsyncGenerator[Segment | float, None]:
        """Yield the recording's duration in seconds, then what was said in each window."""
        figures = request[RECORD].figures
        started_s = time.monotonic()

        def work(listener: Listener, cancelled: Cancelled, emit: Callable[[Segment | float], None]) -> None:
            audio = decode(asked.upload, self._settings.max_audio_s)
            if len(audio) < _MIN_AUDIO_S * TRANSCRIPTION_RATE_HZ:
                raise UndecodableAudioError(f"Audio file is too short. Minimum audio length is {_MIN_AUDIO_S} seconds.")
            emit(len(audio) / TRANSCRIPTION_RATE_HZ)
            for window in listener.transcribe(audio, asked.hearing, cancelled):
                emit(window)

        parts = self._models.whisper.stream(work, capacity=_WINDOWS, deadline_s=self._settings.deadline_s)
        try:
            async with aclosing(parts):
                async for part in parts:
                    figures["model_s"] = time.monotonic() - started_s
                    if isinstance(part, float):
                        figures["audio_s"] = part
                    yield part
        except UndecodableAudioError as error:
            raise openai_error(400, "invalid_value", str(error), "file") from error

    async def _stream(
        self,
        request: web.Request,
        asked: TranscriptionRequest,
        heard: AsyncGenerator[Segment | float, None],
        received_s: float,
    ) -> web.StreamResponse:
        """Send the transcript as events: those of a window together, as the model writes its whole text at once."""
        answer = open_answer(request, "text/event-stream; charset=utf-8")
        parts: list[Segment | float] = []
        async for part in heard:
            if isinstance(part, Segment):
                await hold_first_byte(received_s, self._settings.transcription_delay_s)
                for event in delta_events(part, is_first=len(parts) == 1, logprobs=asked.logprobs):
                    await answer.write(_event(event))
            parts.append(part)
        await hold_first_byte(received_s, self._settings.transcription_delay_s)
        await answer.write(_event(done_event(_transcript(parts), asked.model, logprobs=asked.logprobs)))
        return await answer.end()


def _transcript(parts: list[Segment | float]) -> Transcript:
    (duration_s,) = (part for part in parts if isinstance(part, float))
    return Transcript(duration_s, tuple(part for part in parts if isinstance(part, Segment)))


def _whole(transcript: Transcript, asked: TranscriptionRequest) -> web.Response:
    match asked.response_format:
        case "text":
            return web.Response(text=transcript.text + "\n")
        case "srt":
            return web.Response(text=srt(transcript))
        case "vtt":
            return web.Response(text=vtt(transcript))
        case "verbose_json":
            return web.json_response(verbose(transcript, asked.granularities, asked.task))
    return web.json_response(plain(transcript, asked.model, logprobs=asked.logprobs))


def _event(event: object) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"
