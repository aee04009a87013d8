"""The vendors: keys, reachability, models, voice. An answer is judged by its status; a vendor's words are not shown."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date

import httpx
import openai
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.core.request_options import RequestOptions

from avatar_service.doctor.report import Finding, failed, ok, warning
from avatar_service.engines.openai_client import openai_client
from avatar_service.settings import ElevenLabsSettings, LimitSettings, OpenAISettings

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


async def openai_key_and_models(settings: OpenAISettings, limits: LimitSettings) -> Sequence[Finding]:
    """The key is taken, and the configured models are served."""

    async def list_models(client: openai.AsyncOpenAI) -> Sequence[Finding]:
        served = {model.id async for model in client.models.list()}
        where = settings.base_url or "OpenAI"
        found = [ok("openai", f"{where} takes the key and serves {len(served)} models")]
        wanted = (
            ("chat", settings.chat_model, "OPENAI_CHAT_MODEL"),
            ("transcription", settings.transcription_model, "OPENAI_TRANSCRIPTION_MODEL"),
        )
        return found + [_model(f"{use} model", name, variable, served, settings) for use, name, variable in wanted]

    return await _with_openai("openai", settings, limits, list_models)


def _model(subject: str, name: str, variable: str, served: set[str], settings: OpenAISettings) -> Finding:
    if name not in served:
        return failed(subject, f"{name!r} is not served for this key", f"set {variable} to one that is")
    if not settings.base_url and name in RETIRED:
        return warning(subject, f"OpenAI retires {name} on {RETIRED[name]}", f"set {variable} to its successor")
    return ok(subject, name)


async def openai_deep(settings: OpenAISettings, limits: LimitSettings) -> Sequence[Finding]:
    """The chat model really answers; costs a few tokens."""

    async def ask(client: openai.AsyncOpenAI) -> Sequence[Finding]:
        # `max_completion_tokens` is its new name, which compatible servers do not all know.
        await client.chat.completions.create(
            model=settings.chat_model, messages=[{"role": "user", "content": DEEP_WORD}], max_tokens=1
        )
        return [ok("chat request", f"{settings.chat_model} answered")]

    return await _with_openai("chat request", settings, limits, ask)


async def _with_openai(
    subject: str,
    settings: OpenAISettings,
    limits: LimitSettings,
    ask: Callable[[openai.AsyncOpenAI], Awaitable[Sequence[Finding]]],
) -> Sequence[Finding]:
    async with openai_client(settings, limits) as client:
        try:
            return await ask(client)
        except openai.APIStatusError as error:
            return [_refused(subject, "OPENAI", error.status_code)]
        except openai.APITimeoutError:
            return [_unreachable(subject, "OPENAI", "it does not answer")]
        except openai.APIConnectionError:
            return [_unreachable(subject, "OPENAI", settings.base_url or "no connection")]
        except openai.OpenAIError as error:
            return [_unreachable(subject, "OPENAI", f"it does not speak the protocol ({type(error).__name__})")]


async def elevenlabs_key_voice_and_model(settings: ElevenLabsSettings, limits: LimitSettings) -> Sequence[Finding]:
    """The key is taken; the configured voice and speech model exist."""

    async def look(client: AsyncElevenLabs) -> Sequence[Finding]:
        models = {model.model_id for model in await client.models.list(request_options=ONCE)}
        found = [
            ok("elevenlabs", f"{settings.base_url or 'ElevenLabs'} takes the key; voice as {settings.output_format}")
        ]
        found.append(
            ok("speech model", settings.model)
            if settings.model in models
            else failed("speech model", f"{settings.model!r} does not exist", "set ELEVENLABS_MODEL to one that does")
        )
        return [*found, await _voice(client, settings.voice_id)]

    return await _with_elevenlabs("elevenlabs", settings, limits, look)


async def _voice(client: AsyncElevenLabs, voice_id: str) -> Finding:
    try:
        voice = await client.voices.get(voice_id, request_options=ONCE)
    except ApiError as error:
        if error.status_code in (400, 404, 422):
            mend = "set ELEVENLABS_VOICE_ID to a voice of this account"
            return failed("voice", f"{voice_id!r} does not exist for this key", mend)
        return _refused("voice", "ELEVENLABS", error.status_code or 0)
    return ok("voice", f"{voice_id} ({voice.name})")


async def elevenlabs_deep(settings: ElevenLabsSettings, limits: LimitSettings) -> Sequence[Finding]:
    """A word is really spoken, in the configured format; costs three characters."""

    async def speak(client: AsyncElevenLabs) -> Sequence[Finding]:
        pieces = client.text_to_speech.stream(
            settings.voice_id, text=DEEP_WORD, model_id=settings.model, output_format=settings.output_format
        )
        size = sum([len(piece) async for piece in pieces])
        if not size:
            return [failed("speech request", "the answer holds no sound", "see the vendor's status page")]
        return [ok("speech request", f"{size} bytes of {settings.output_format}")]

    return await _with_elevenlabs("speech request", settings, limits, speak)


async def _with_elevenlabs(
    subject: str,
    settings: ElevenLabsSettings,
    limits: LimitSettings,
    ask: Callable[[AsyncElevenLabs], Awaitable[Sequence[Finding]]],
) -> Sequence[Finding]:
    async with httpx.AsyncClient(timeout=httpx.Timeout(settings.timeout_s, connect=limits.connect_s)) as http:
        key, base_url = settings.api_key.get_secret_value() or "none", settings.base_url or None
        try:
            return await ask(AsyncElevenLabs(api_key=key, base_url=base_url, httpx_client=http))
        except ApiError as error:
            return [_refused(subject, "ELEVENLABS", error.status_code or 0)]
        except httpx.TimeoutException:
            return [_unreachable(subject, "ELEVENLABS", "it does not answer")]
        except httpx.HTTPError:
            return [_unreachable(subject, "ELEVENLABS", settings.base_url or "no connection")]


def _refused(subject: str, vendor: str, status: int) -> Finding:
    """A vendor's answer other than 200, by its status."""
    match status:
        case 401 | 403:
            return failed(subject, f"the key is refused (status {status})", f"set {vendor}_API_KEY to a valid key")
        case 404:
            return failed(subject, "the address serves no such thing (status 404)", f"correct {vendor}_BASE_URL")
        case 429:
            return failed(subject, "out of quota, or too many requests (status 429)", "see the plan of the account")
        case _ if status >= 500:
            return failed(subject, f"not available (status {status})", "try again; see the vendor's status page")
        case _:
            return failed(subject, f"refuses the request (status {status})", "see the models' and formats' settings")


def _unreachable(subject: str, vendor: str, what: str) -> Finding:
    return failed(subject, f"cannot be reached: {what}", f"check network, proxy and {vendor}_BASE_URL")
