"""``POST audio/transcriptions``: multipart upload in; JSON, text, verbose JSON or server-sent events out."""

import asyncio
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import BodyPartReader, web

from avatar_service.sandbox.audio import TRANSCRIPTION_RATE_HZ, UndecodableAudioError, decode
from avatar_service.sandbox.catalogue import TRANSCRIPTION_MODELS
from avatar_service.sandbox.errors import openai_error
from avatar_service.sandbox.models import Models
from avatar_service.sandbox.pacing import hold_first_byte
from avatar_service.sandbox.serving import RECORD, StreamedAnswer
from avatar_service.sandbox.settings import SandboxSettings
from avatar_service.sandbox.whisper import Segment, Whisper
from avatar_service.sandbox.worker import Cancelled

_FORMATS: Final = ("json", "text", "verbose_json")
_MAX_FIELD_BYTES: Final = 64 * 1024
_MIN_AUDIO_S: Final = 0.1
"""The vendor's own least duration."""


@dataclass(slots=True)
class _Form:
    """The parts of the upload."""

    file: bytes | None = None
    fields: dict[str, str] = field(default_factory=dict)
    granularities: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Transcript:
    """What the model heard."""

    duration_s: float
    segments: Sequence[Segment]

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments)


class Transcriptions:
    """The route and what it needs."""

    def __init__(self, models: Models, settings: SandboxSettings) -> None:
        self._models = models
        self._settings = settings

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Transcribe one upload."""
        form = await self._read(request)
        received_s = time.monotonic()
        model, response_format = _check(form)
        transcript = await self._transcribe(request, form)
        await hold_first_byte(received_s, self._settings.transcription_delay_s)
        if _is_true(form.fields.get("stream", "")) and model != "whisper-1":  # the vendor ignores it for whisper-1
            return await _stream(request, transcript)
        if response_format == "text":
            return web.Response(text=transcript.text + "\n")
        if response_format == "verbose_json":
            return web.json_response(_verbose(transcript, form.granularities))
        return web.json_response({"text": transcript.text, "usage": _usage(transcript, model)})

    async def _read(self, request: web.Request) -> _Form:
        """Read the multipart body under the limits of size and time."""
        if not request.content_type.startswith("multipart/"):
            raise openai_error(400, None, "The body must be multipart/form-data.")
        form = _Form()
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                async for part in await request.multipart():
                    if isinstance(part, BodyPartReader):
                        await self._read_part(part, form)
        except TimeoutError as error:
            raise openai_error(408, None, "The upload took too long.") from error
        except ValueError as error:
            raise openai_error(400, None, "The multipart body could not be parsed.") from error
        return form

    async def _read_part(self, part: BodyPartReader, form: _Form) -> None:
        if part.name == "file":
            form.file = await _read_at_most(part, self._settings.max_upload_bytes)
            return
        value = (await _read_at_most(part, _MAX_FIELD_BYTES)).decode("utf-8", "replace")
        if part.name == "timestamp_granularities[]":
            form.granularities.append(value)
        elif part.name:
            form.fields[part.name] = value

    async def _transcribe(self, request: web.Request, form: _Form) -> _Transcript:
        upload = form.file or b""
        words = "word" in form.granularities

        def work(whisper: Whisper, cancelled: Cancelled) -> _Transcript:
            audio = decode(upload, self._settings.max_audio_s)
            if len(audio) < _MIN_AUDIO_S * TRANSCRIPTION_RATE_HZ:
                raise UndecodableAudioError(f"Audio file is too short. Minimum audio length is {_MIN_AUDIO_S} seconds.")
            segments = whisper.transcribe(audio, cancelled, words=words)
            return _Transcript(len(audio) / TRANSCRIPTION_RATE_HZ, segments)

        started_s = time.monotonic()
        try:
            transcript = await self._models.whisper.run(work, deadline_s=self._settings.deadline_s)
        except UndecodableAudioError as error:
            raise openai_error(400, "invalid_value", str(error), "file") from error
        request[RECORD].figures.update(audio_s=transcript.duration_s, model_s=time.monotonic() - started_s)
        return transcript


async def _read_at_most(part: BodyPartReader, limit: int) -> bytes:
    """Read a part of the upload."""
    data = bytearray()
    while chunk := await part.read_chunk(65_536):
        data += chunk
        if len(data) > limit:
            raise openai_error(413, None, f"{part.name}: maximum content size limit ({limit} bytes) exceeded.")
    return bytes(data)


def _check(form: _Form) -> tuple[str, str]:
    """Return model and response format."""
    if not form.file:
        raise openai_error(400, "missing_required_parameter", "Missing required parameter: 'file'.", "file")
    model = form.fields.get("model", "")
    if not model:
        raise openai_error(400, "missing_required_parameter", "you must provide a model parameter", "model")
    if model not in TRANSCRIPTION_MODELS:
        raise openai_error(404, "model_not_found", f"The model `{model[:80]}` does not exist.", "model")
    response_format = form.fields.get("response_format", "json")
    served = _FORMATS if model == "whisper-1" else ("json", "text")
    if response_format not in served:
        raise openai_error(
            400,
            "unsupported_value",
            f"response_format '{response_format[:40]}' is not compatible with model '{model}'. "
            f"This sandbox serves: {', '.join(served)}.",
            "response_format",
        )
    language = form.fields.get("language", "en").lower()
    if language not in ("en", "english"):
        raise openai_error(
            400, "unsupported_value", "This sandbox transcribes English only (language 'en').", "language"
        )
    return model, response_format


def _is_true(value: str) -> bool:
    return value.lower() in ("true", "1")


def _usage(transcript: _Transcript, model: str) -> dict[str, Any]:
    """Return what the vendor would bill: seconds for whisper-1, tokens for the others."""
    if model == "whisper-1":
        return {"type": "duration", "seconds": math.ceil(transcript.duration_s)}
    heard = math.ceil(transcript.duration_s * 10)
    said = sum(len(segment.tokens) for segment in transcript.segments)
    return {
        "type": "tokens",
        "input_tokens": heard,
        "input_token_details": {"audio_tokens": heard, "text_tokens": 0},
        "output_tokens": said,
        "total_tokens": heard + said,
    }


def _verbose(transcript: _Transcript, granularities: Sequence[str]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "task": "transcribe",
        "language": "english",
        "duration": transcript.duration_s,
        "text": transcript.text,
        "usage": _usage(transcript, "whisper-1"),
    }
    if "word" in granularities:
        words = (word for segment in transcript.segments for word in segment.words)
        body["words"] = [{"word": word.text, "start": word.start_s, "end": word.end_s} for word in words]
    if not granularities or "segment" in granularities:
        body["segments"] = [_segment(number, segment) for number, segment in enumerate(transcript.segments)]
    return body


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": round(segment.start_s * 100),
        "start": segment.start_s,
        "end": segment.end_s,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": 0.0,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": 1.0,
        "no_speech_prob": segment.no_speech_prob,
    }


async def _stream(request: web.Request, transcript: _Transcript) -> web.StreamResponse:
    """Send the transcript as events. They leave together: the model writes the whole text at once."""
    answer = StreamedAnswer(request, "text/event-stream")
    for event in _events(transcript):
        await answer.write(b"data: " + json.dumps(event).encode() + b"\n\n")
    return await answer.end()


def _events(transcript: _Transcript) -> Iterator[dict[str, Any]]:
    text = transcript.text
    for number, word in enumerate(text.split(" ") if text else ()):
        yield {"type": "transcript.text.delta", "delta": word if number == 0 else " " + word}
    yield {"type": "transcript.text.done", "text": text, "usage": _usage(transcript, "gpt-transcribe")}
