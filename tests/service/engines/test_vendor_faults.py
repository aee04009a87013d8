"""What the vendors' own libraries make of a server that fails, over a socket, and which fault that becomes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import pytest

from avatar_service.engines.base import ChatOptions, Message, TranscriptionOptions, Voice
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.engines.openai_client import openai_client
from avatar_service.engines.openai_transcriber import OpenAITranscriber
from avatar_service.engines.vendor import ELEVENLABS, OPENAI
from avatar_service.errors import EngineError, Fault
from avatar_service.media.types import Utterance
from avatar_service.settings import ElevenLabsSettings, LimitSettings, OpenAISettings
from tests.service.engines.vendor import Answer, chunk, event, vendor

KEY = "sk-secret-1"
WORDS = f"Incorrect API key provided: {KEY}"
SSE = "text/event-stream"
LIMITS = LimitSettings.model_validate({"attempts": 1, "first_output_s": 0.3, "breaker_failures": 1_000})
UTTERANCE = Utterance(1, bytes(3_200), 16_000, 0.0, 0.1)

Ask = Callable[[], Awaitable[object]]


@asynccontextmanager
async def asking(engine: str, url: str) -> AsyncIterator[Ask]:
    """One request of an engine to the server at `url`, to its end."""
    async with AsyncExitStack() as stack:
        if engine == "speak":
            told = ElevenLabsSettings.model_validate({"base_url": url, "api_key": KEY})
            speech = ElevenLabsSpeech(told, LIMITS, ELEVENLABS.at(url))
            stack.push_async_callback(speech.aclose)
            turn = await stack.enter_async_context(speech.speaking(Voice("rachel", "model")))
            yield lambda: _all(turn.say("The moon is near.", ""))
            return
        settings = OpenAISettings.model_validate({"base_url": f"{url}/v1", "api_key": KEY})
        client = await stack.enter_async_context(openai_client(settings, LIMITS))
        chat = OpenAIChat(client, LIMITS, OPENAI.at(url))
        transcriber = OpenAITranscriber(client, LIMITS, OPENAI.at(url))
        if engine == "think":
            yield lambda: _all(chat.complete([Message("user", "Is it near?")], ChatOptions("model", 150, 0.7)))
        else:
            yield lambda: transcriber.transcribe(UTTERANCE, TranscriptionOptions("whisper-1"))


async def _all(outputs: Any) -> None:
    async with aclosing(outputs):
        async for _ in outputs:
            pass


async def failure(engine: str, *answers: Answer) -> EngineError:
    """The error for these answers; none of it quotes the server."""
    async with vendor(*answers) as serving, asking(engine, serving.url) as ask:
        with pytest.raises(EngineError) as raised:
            await ask()
        assert len(serving.requests) == 1, "the library must not try again by itself"
    assert raised.value.stage == engine
    assert KEY not in f"{raised.value} {raised.value.advice}"
    return raised.value


def refusal(engine: str, status: int, code: str | None, **headers: str) -> Answer:
    """An error answer in the form of the engine's vendor."""
    if engine == "speak":
        body: dict[str, Any] = {"detail": {"status": code, "message": WORDS}}
    else:
        body = {"error": {"message": WORDS, "type": "invalid_request_error", "param": None, "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer((json.dumps(body).encode(),), status, "application/json", headers=named)


ENGINES = pytest.mark.parametrize("engine", ["transcribe", "think", "speak"])


@ENGINES
async def test_the_answers_to_a_wrong_key_to_no_quota_and_to_too_many_requests(engine: str) -> None:
    vendors = "ELEVENLABS" if engine == "speak" else "OPENAI"
    wrong_key = await failure(engine, refusal(engine, 401, "invalid_api_key"))
    assert wrong_key.fault is Fault.AUTHENTICATION
    assert wrong_key.advice == f"The server at {vendors}_BASE_URL does not take the key in {vendors}_API_KEY."

    quota = refusal(engine, 401, "quota_exceeded") if engine == "speak" else refusal(engine, 429, "insufficient_quota")
    assert (await failure(engine, quota)).fault is Fault.QUOTA

    busy = await failure(engine, refusal(engine, 429, None, retry_after="7", x_request_id="req-1"))
    assert (busy.fault, busy.retry_after_s, busy.request_id) == (Fault.RATE_LIMIT, 7.0, "req-1")


@ENGINES
@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Answer(cut=True), Fault.CONNECTION),
        (Answer(pause_s=5.0), Fault.TIMEOUT),
        (Answer((b"<html>hello</html>",), 503, "text/html"), Fault.OVERLOADED),
        (Answer((bytes(range(255, 127, -1)),), 403, "application/json"), Fault.PERMISSION),
    ],
    ids=["cut", "hang", "page", "no text"],
)
async def test_a_server_that_fails_without_a_word_of_the_protocol(engine: str, answer: Answer, fault: Fault) -> None:
    assert (await failure(engine, answer)).fault is fault


@ENGINES
@pytest.mark.parametrize("content_type", ["text/html", "application/json", SSE])
async def test_a_success_that_is_none(engine: str, content_type: str) -> None:
    async with vendor() as serving, asking(engine, serving.url) as ask:
        for body in (b"<html>hello</html>", bytes(range(255, 127, -1)), b"[" * 100_000, b"", b"{}"):
            serving.script = [Answer((body,), content_type=content_type)]
            with pytest.raises(EngineError) as raised:
                await ask()
            assert raised.value.fault is Fault.MALFORMED, body[:10]


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ([{"error": {"message": WORDS, "type": "server_error", "code": None}}], Fault.OVERLOADED),
        ([{"error": {"message": WORDS, "type": "requests", "code": "rate_limit_exceeded"}}], Fault.RATE_LIMIT),
        ([{"error": {"object": "error", "message": WORDS, "code": 404}}], Fault.NOT_FOUND),
        ([{"error": WORDS}], Fault.OVERLOADED),
        (["{hello"], Fault.MALFORMED),
        (["17"], Fault.MALFORMED),
        (['["hello"]'], Fault.MALFORMED),
        (['{"choices": "hello"}'], Fault.MALFORMED),
    ],
)
async def test_an_event_that_is_no_part_of_a_reply(events: list[Any], fault: Fault) -> None:
    for before in ((), (chunk("Well."),)):
        answer = Answer((*before, *(event(data) for data in events)), content_type=SSE)
        assert (await failure("think", answer)).fault is fault


@ENGINES
async def test_a_server_that_is_not_there(engine: str) -> None:
    async with asking(engine, "http://127.0.0.1:1") as ask:
        with pytest.raises(EngineError) as raised:
            await ask()
    assert raised.value.fault is Fault.CONNECTION


@ENGINES
async def test_a_server_that_speaks_no_tls(engine: str) -> None:
    async with vendor(Answer()) as serving, asking(engine, serving.url.replace("http:", "https:")) as ask:
        with pytest.raises(EngineError) as raised:
            await ask()
    assert raised.value.fault is Fault.CONNECTION


@ENGINES
async def test_a_server_that_speaks_no_http(engine: str) -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\r\n" * 100)
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        async with asking(engine, f"http://{host}:{port}") as ask:
            with pytest.raises(EngineError) as raised:
                await ask()
    assert raised.value.fault is Fault.CONNECTION
