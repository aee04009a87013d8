"""The multipart form of a transcription or translation, read under limits and checked as OpenAI checks it."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import BodyPartReader, web

from avatar_service.sandbox.catalogue import TRANSCRIPTION_MODELS
from avatar_service.sandbox.errors import VendorError, openai_error
from avatar_service.sandbox.settings import SandboxSettings
from avatar_service.sandbox.transcript import Hearing

EXTENSIONS: Final = ("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm")
"""Of the file names that the vendor recognizes."""

_WHISPER: Final = "whisper-1"
_FORMATS: Final[Mapping[str, tuple[str, ...]]] = {
    _WHISPER: ("json", "text", "srt", "verbose_json", "vtt"),
    "gpt-transcribe": ("json", "text"),
}
"""Of a model; the others answer with ``json`` alone."""
_LOGPROB_MODELS: Final = ("gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-mini-transcribe-2025-12-15")
_GRANULARITIES: Final = ("word", "segment")
_MAX_FIELD_BYTES: Final = 64 * 1024
_MAX_FIELDS: Final = 64


@dataclass(slots=True)
class Form:
    """The parts as they came; names without the ``[]`` of a list."""

    file: bytes = b""
    file_name: str = ""
    content_type: str = ""
    fields: dict[str, list[str]] = field(default_factory=dict)

    def one(self, name: str, default: str = "") -> str:
        """Return the last value of a field."""
        return self.fields.get(name, [default])[-1]


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """A checked form."""

    upload: bytes
    model: str
    task: str
    response_format: str
    granularities: tuple[str, ...]
    hearing: Hearing
    logprobs: bool
    stream: bool


async def read_form(request: web.Request, settings: SandboxSettings) -> Form:
    """Read the multipart body under the limits of size and time."""
    if not request.content_type.startswith("multipart/"):
        raise openai_error(400, None, "The body must be multipart/form-data.")
    form = Form()
    try:
        async with asyncio.timeout(settings.deadline_s):
            async for part in await request.multipart():
                if isinstance(part, BodyPartReader):
                    await _read_part(part, form, settings.max_upload_bytes)
    except TimeoutError as error:
        raise openai_error(408, None, "The upload took too long.") from error
    except ValueError as error:
        raise openai_error(400, None, "The multipart body could not be parsed.") from error
    return form


def check_form(form: Form, task: str) -> TranscriptionRequest:
    """Check a form; ``task`` is ``transcribe`` or ``translate``, which whisper-1 alone can."""
    if not form.file:
        raise openai_error(400, "missing_required_parameter", "Missing required parameter: 'file'.", "file")
    _check_file(form)
    model = _model(form, task)
    response_format = _response_format(form, model)
    granularities = tuple(form.fields.get("timestamp_granularities", ()))
    if any(granularity not in _GRANULARITIES for granularity in granularities):
        raise _invalid("timestamp_granularities", "expected 'word' or 'segment'")
    if granularities and response_format != "verbose_json":
        raise _invalid("timestamp_granularities", "response_format must be 'verbose_json'")
    logprobs = _logprobs(form, model, response_format)
    needs_words = logprobs or response_format in ("srt", "vtt", "verbose_json")
    return TranscriptionRequest(
        upload=form.file,
        model=model,
        task=task,
        response_format=response_format,
        granularities=granularities,
        hearing=_hearing(form, words=needs_words),
        logprobs=logprobs,
        stream=form.one("stream").lower() in ("true", "1") and model != _WHISPER,  # whisper-1 ignores it
    )


def _check_file(form: Form) -> None:
    """Refuse a file that neither its name nor its type tells the format of."""
    extension = form.file_name.rpartition(".")[2].lower()
    kind, _, subtype = form.content_type.partition("/")
    is_told = kind in ("audio", "video") and subtype.removeprefix("x-") in (*EXTENSIONS, "wave", "aac", "opus")
    if extension not in EXTENSIONS and not is_told:
        message = f"Unrecognized file format. Supported formats: {list(EXTENSIONS)}"
        raise openai_error(400, None, message, "file")


def _model(form: Form, task: str) -> str:
    model = form.one("model")
    if not model:
        raise openai_error(400, "missing_required_parameter", "you must provide a model parameter", "model")
    if model not in TRANSCRIPTION_MODELS or (task == "translate" and model != _WHISPER):
        raise openai_error(404, "model_not_found", f"The model `{model[:80]}` does not exist.", "model")
    return model


def _response_format(form: Form, model: str) -> str:
    response_format = form.one("response_format", "json")
    served = _FORMATS.get(model, ("json",))
    if response_format not in served:
        raise openai_error(
            400,
            "unsupported_value",
            f"response_format '{response_format[:40]}' is not compatible with model '{model}'. "
            f"Use one of: {', '.join(served)}.",
            "response_format",
        )
    return response_format


def _logprobs(form: Form, model: str, response_format: str) -> bool:
    include = form.fields.get("include", [])
    if any(name != "logprobs" for name in include):
        raise _invalid("include", "expected 'logprobs'")
    if include and (model not in _LOGPROB_MODELS or response_format != "json"):
        raise _invalid("include", f"'logprobs' needs response_format 'json' and one of: {', '.join(_LOGPROB_MODELS)}")
    return bool(include)


def _hearing(form: Form, *, words: bool) -> Hearing:
    for name in ("language", "languages"):
        if any(language.lower() not in ("en", "english") for language in form.fields.get(name, ())):
            message = "This sandbox transcribes English only (language 'en')."
            raise openai_error(400, "unsupported_value", message, name)
    if form.fields.get("known_speaker_names") or form.fields.get("known_speaker_references"):
        raise openai_error(400, "unsupported_parameter", "This sandbox tells no speakers apart.", "known_speaker_names")
    return Hearing(
        prompt=form.one("prompt"),
        keywords=tuple(form.fields.get("keywords", ())),
        temperature=_temperature(form.one("temperature", "0")),
        words=words,
    )


def _temperature(value: str) -> float:
    try:
        temperature = float(value)
    except ValueError:
        temperature = math.nan
    if not 0.0 <= temperature <= 1.0:
        raise _invalid("temperature", "expected a number from 0 to 1")
    return temperature


def _invalid(param: str, what: str) -> VendorError:
    return openai_error(400, "invalid_value", f"Invalid value for '{param}': {what}.", param)


async def _read_part(part: BodyPartReader, form: Form, max_upload_bytes: int) -> None:
    if part.name == "file":
        form.file = await _read_at_most(part, max_upload_bytes)
        form.file_name = part.filename or ""
        form.content_type = part.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return
    value = (await _read_at_most(part, _MAX_FIELD_BYTES)).decode("utf-8", "replace")
    if part.name:
        form.fields.setdefault(part.name.removesuffix("[]"), []).append(value)
    if sum(map(len, form.fields.values())) > _MAX_FIELDS:
        raise openai_error(400, None, f"The form has more than {_MAX_FIELDS} fields.")


async def _read_at_most(part: BodyPartReader, limit: int) -> bytes:
    """Read a part of the upload."""
    data = bytearray()
    while chunk := await part.read_chunk(65_536):
        data += chunk
        if len(data) > limit:
            raise openai_error(413, None, f"{part.name}: maximum content size limit ({limit} bytes) exceeded.")
    return bytes(data)
