"""The vendors: keys, reachability, models, voice. An answer is judged by its fault; a vendor's words are not shown."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date

import httpx
import openai
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.request_options import RequestOptions

from avatar_service.doctor.report import Finding, failed, ok, warning
from avatar_service.engines.openai_client import openai_client
from avatar_service.engines.vendor import ELEVENLABS, OPENAI, Vendor
from avatar_service.engines.vendor_errors import vendor_errors
from avatar_service.errors import EngineError, Fault
from avatar_service.settings import ElevenLabsSettings, LimitSettings, OpenAISettings

STAGE = "doctor"
RETIRED = {
    "gpt-4o-mini": date(2027, 1, 14),
    "gpt-4o": date(2027, 1, 14),
    "gpt-4.1": date(2027, 1, 14),
    "gpt-4.1-mini": date(2027, 1, 14),
    "whisper-1": date(2027, 2, 26),
    "gpt-4o-transcribe": date(2027, 2, 26),
    "gpt-4o-mini-transcribe": date(2027, 2, 26),
}
"""Models whose end OpenAI has announced, as of November 2026."""
DEEP_WORD = "Hi."
ONCE = RequestOptions(max_retries=0)
"""The library would try 429 and 5xx twice more, for seconds."""
TOLD = {
    Fault.AUTHENTICATION: ("the key is refused", "set {vendor.key} to a valid key"),
    Fault.PERMISSION: ("the key may not do this", "see the rights and the plan of the key in {vendor.key}"),
    Fault.QUOTA: ("the quota is used up", "see the plan of the account whose key is in {vendor.key}"),
    Fault.RATE_LIMIT: ("too many requests", "try again; see the plan of the account whose key is in {vendor.key}"),
    Fault.NOT_FOUND: ("the address serves no such thing", "correct {vendor.base_url}"),
    Fault.OVERLOADED: ("not available", "try again; see the vendor's status page"),
    Fault.MALFORMED: ("it does not speak the protocol", "correct {vendor.base_url}"),
    Fault.BAD_REQUEST: ("refuses the request", "see the models' and formats' settings"),
    Fault.FILTERED: ("refuses the request", "see the models' and formats' settings"),
    Fault.TIMEOUT: ("cannot be reached: it does not answer", "check network, proxy and {vendor.base_url}"),
    Fault.CONNECTION: ("cannot be reached: {address}", "check network, proxy and {vendor.base_url}"),
}
"""What is shown of each fault, and the way out."""


async def openai_key_and_models(
    settings: OpenAISettings, limits: LimitSettings, vendor: Vendor = OPENAI
) -> Sequence[Finding]:
    """The key is taken, and the configured models are served."""

    async def list_models(client: openai.AsyncOpenAI) -> Sequence[Finding]:
        served = {model.id async for model in client.models.list()}
        where = settings.base_url or "OpenAI"
        found = [ok(vendor.engine, f"{where} takes the key and serves {len(served)} models")]
        wanted = (("think", "chat", settings.chat_model), ("transcribe", "transcription", settings.transcription_model))
        return found + [
            _model(_of(vendor, f"{use} model"), name, vendor.choices[stage][0], served, settings)
            for stage, use, name in wanted
        ]

    return await _with_openai(vendor.engine, settings, limits, vendor, list_models)


def _model(subject: str, name: str, variable: str, served: set[str], settings: OpenAISettings) -> Finding:
    if name not in served:
        return failed(subject, f"{name!r} is not served for this key", f"set {variable} to one that is")
    if not settings.base_url and name in RETIRED:
        return warning(subject, f"OpenAI retires {name} on {RETIRED[name]}", f"set {variable} to its successor")
    return ok(subject, name)


async def openai_deep(settings: OpenAISettings, limits: LimitSettings, vendor: Vendor = OPENAI) -> Sequence[Finding]:
    """The chat model really answers; costs a few tokens."""
    subject = _of(vendor, "chat request")

    async def ask(client: openai.AsyncOpenAI) -> Sequence[Finding]:
        # `max_completion_tokens` is its new name, which compatible servers do not all know.
        await client.chat.completions.create(
            model=settings.chat_model, messages=[{"role": "user", "content": DEEP_WORD}], max_tokens=1
        )
        return [ok(subject, f"{settings.chat_model} answered")]

    return await _with_openai(subject, settings, limits, vendor, ask)


async def _with_openai(
    subject: str,
    settings: OpenAISettings,
    limits: LimitSettings,
    vendor: Vendor,
    ask: Callable[[openai.AsyncOpenAI], Awaitable[Sequence[Finding]]],
) -> Sequence[Finding]:
    async with openai_client(settings, limits) as client:
        return await _judged(subject, vendor, settings.base_url, lambda: ask(client))


async def elevenlabs_key_voice_and_model(
    settings: ElevenLabsSettings, limits: LimitSettings, vendor: Vendor = ELEVENLABS
) -> Sequence[Finding]:
    """The key is taken; the configured voice and speech model exist."""
    voice, model = vendor.choices["speak"]

    async def look(client: AsyncElevenLabs) -> Sequence[Finding]:
        models = {listed.model_id for listed in await client.models.list(request_options=ONCE)}
        where = settings.base_url or "ElevenLabs"
        subject = _of(vendor, "speech model")
        return [
            ok(vendor.engine, f"{where} takes the key; voice as {settings.output_format}"),
            ok(subject, settings.model)
            if settings.model in models
            else failed(subject, f"{settings.model!r} does not exist", f"set {model} to one that does"),
            await _voice(client, settings, vendor, voice),
        ]

    async with _elevenlabs(settings, limits) as client:
        return await _judged(vendor.engine, vendor, settings.base_url, lambda: look(client))


async def _voice(client: AsyncElevenLabs, settings: ElevenLabsSettings, vendor: Vendor, variable: str) -> Finding:
    subject = _of(vendor, "voice")
    try:
        with vendor_errors(STAGE, vendor):
            voice = await client.voices.get(settings.voice_id, request_options=ONCE)
    except EngineError as error:
        if error.fault in (Fault.NOT_FOUND, Fault.BAD_REQUEST):
            mend = f"set {variable} to a voice of this account"
            return failed(subject, f"{settings.voice_id!r} does not exist for this key", mend)
        return _failure(subject, vendor, settings.base_url, error)
    return ok(subject, f"{settings.voice_id} ({voice.name})")


async def elevenlabs_deep(
    settings: ElevenLabsSettings, limits: LimitSettings, vendor: Vendor = ELEVENLABS
) -> Sequence[Finding]:
    """A word is really spoken, in the configured format; costs three characters."""
    subject = _of(vendor, "speech request")

    async def speak(client: AsyncElevenLabs) -> Sequence[Finding]:
        pieces = client.text_to_speech.stream(
            settings.voice_id, text=DEEP_WORD, model_id=settings.model, output_format=settings.output_format
        )
        size = sum([len(piece) async for piece in pieces])
        if not size:
            return [failed(subject, "the answer holds no sound", "see the vendor's status page")]
        return [ok(subject, f"{size} bytes of {settings.output_format}")]

    async with _elevenlabs(settings, limits) as client:
        return await _judged(subject, vendor, settings.base_url, lambda: speak(client))


@asynccontextmanager
async def _elevenlabs(settings: ElevenLabsSettings, limits: LimitSettings) -> AsyncIterator[AsyncElevenLabs]:
    async with httpx.AsyncClient(timeout=httpx.Timeout(settings.timeout_s, connect=limits.connect_s)) as http:
        key, base_url = settings.api_key.get_secret_value() or "none", settings.base_url or None
        yield AsyncElevenLabs(api_key=key, base_url=base_url, httpx_client=http)


async def _judged(
    subject: str, vendor: Vendor, base_url: str, look: Callable[[], Awaitable[Sequence[Finding]]]
) -> Sequence[Finding]:
    """What a look finds, or how it failed."""
    try:
        with vendor_errors(STAGE, vendor):
            return await look()
    except EngineError as error:
        return [_failure(subject, vendor, base_url, error)]


def _failure(subject: str, vendor: Vendor, base_url: str, error: EngineError) -> Finding:
    detail, mend = TOLD[error.fault]
    reason = error.reason.partition(" (")[0]  # the vendor's code behind it says what the fault says
    status = f" ({reason})" if reason.startswith("status") else ""
    return failed(subject, detail.format(address=base_url or "no connection") + status, mend.format(vendor=vendor))


def _of(vendor: Vendor, subject: str) -> str:
    """The subject, told apart from that of the first engine."""
    return subject if vendor in (OPENAI, ELEVENLABS) else f"second {subject}"
