"""What the vendors' own SDKs make of each fault: the errors that adapters have to expect."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import openai
import pytest
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError
from openai import AsyncOpenAI

from avatar_service.sandbox.app import Sandbox
from tests.service.sandbox.faulty import KEY, PATIENCE_S, QUESTION, TEXT, TOKENS, TRANSCRIPT, VOICE_ID, faulty_sandbox

READ_S = 0.2
"""How long the SDKs wait for a byte of an answer that is silent."""

SPEECH_BYTES = 2 * 15_000
"""Ten characters of a sixteenth of a second at 24 kHz, two bytes a sample."""


@asynccontextmanager
async def sdks(
    *rules: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Sandbox, AsyncOpenAI, AsyncElevenLabs]]:
    async with (
        faulty_sandbox(*rules) as (sandbox, url),
        AsyncOpenAI(
            api_key=KEY, base_url=f"{url}/openai/v1", max_retries=0, timeout=PATIENCE_S, default_headers=headers
        ) as client,
        httpx.AsyncClient(headers=headers) as http,
    ):
        yield sandbox, client, AsyncElevenLabs(api_key=KEY, base_url=f"{url}/elevenlabs", httpx_client=http)


async def transcribe(client: AsyncOpenAI) -> str:
    return (await client.audio.transcriptions.create(model="whisper-1", file=("a.wav", QUESTION))).text


async def transcribe_streamed(client: AsyncOpenAI) -> str:
    events = await client.audio.transcriptions.create(model="gpt-transcribe", file=("a.wav", QUESTION), stream=True)
    return "".join([event.delta async for event in events if event.type == "transcript.text.delta"])


async def chat(client: AsyncOpenAI) -> list[Any]:
    """Text, refusals, arguments and the finish reason, in their order."""
    reply = await client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hi."}], stream=True
    )
    said: list[Any] = []
    async for chunk in reply:
        delta, reason = chunk.choices[0].delta, chunk.choices[0].finish_reason
        calls = [call.function.arguments for call in delta.tool_calls or [] if call.function]
        said += [part for part in (delta.content, delta.refusal, *calls, reason) if part]
    return said


async def speak(speaker: AsyncElevenLabs, timeout_s: float = PATIENCE_S) -> bytes:
    stream = speaker.text_to_speech.stream(
        VOICE_ID,
        text=TEXT,
        output_format="pcm_24000",
        request_options={"chunk_size": 960, "timeout_in_seconds": timeout_s},
    )
    return b"".join([chunk async for chunk in stream])


async def speak_timed(speaker: AsyncElevenLabs) -> list[str]:
    stream = speaker.text_to_speech.stream_with_timestamps(VOICE_ID, text=TEXT, output_format="pcm_24000")
    return [chunk.audio_base_64 async for chunk in stream]


STATUS_ERRORS = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
    529: openai.InternalServerError,
}


@pytest.mark.parametrize("ask", [transcribe, transcribe_streamed, chat])
async def test_openais_sdk_tells_statuses_apart(ask: Callable[[AsyncOpenAI], Awaitable[Any]]) -> None:
    rules = [
        {"on": "any", "fault": "status", "status": status, "retry_after_s": 0.5, "nth": [number]}
        for number, status in enumerate(STATUS_ERRORS, 1)
    ]
    async with sdks(*rules) as (_, client, _):
        for status, kind in STATUS_ERRORS.items():
            with pytest.raises(kind) as caught:
                await ask(client)
            assert caught.value.status_code == status
            assert caught.value.response.headers["retry-after"] == "0.5"
            assert caught.value.request_id


@pytest.mark.parametrize("ask", [speak, speak_timed])
async def test_elevenlabss_sdk_tells_statuses_apart(ask: Callable[[AsyncElevenLabs], Awaitable[Any]]) -> None:
    rules = [
        {"on": "speech", "fault": "status", "status": status, "nth": [number]}
        for number, status in enumerate(STATUS_ERRORS, 1)
    ]
    async with sdks(*rules) as (_, _, speaker):
        for status in STATUS_ERRORS:
            with pytest.raises(ApiError) as caught:
                await ask(speaker)
            assert caught.value.status_code == status
            assert caught.value.headers is not None
            assert caught.value.headers["request-id"]


CUT, TIMEOUT, TOLD = openai.APIConnectionError, openai.APITimeoutError, openai.APIError


@pytest.mark.parametrize(
    ("ask", "fault", "kind"),
    [
        (ask, fault, kind)
        for ask in (transcribe, transcribe_streamed, chat)
        for fault, kind in (
            ({"fault": "hang"}, TIMEOUT),
            ({"fault": "stall", "after": 1}, TIMEOUT),
            ({"fault": "cut"}, CUT),
            ({"fault": "cut", "after": 1}, CUT),
            ({"fault": "cut", "after": 8}, CUT),  # chat: before its finish reason; the others: before their end
            ({"fault": "error_frame", "after": 1}, TOLD),
            ({"fault": "garbage", "after": 1}, json.JSONDecodeError),
        )
        if ask is not transcribe or fault["fault"] != "error_frame"  # the SDK reads it as a transcript without a text
    ],
)
async def test_openais_sdk_raises_what_goes_wrong(
    ask: Callable[[AsyncOpenAI], Awaitable[Any]], fault: dict[str, Any], kind: type[Exception]
) -> None:
    target = "chat" if ask is chat else "transcription"
    async with sdks({"on": target, "nth": [1], **fault}) as (_, client, _):
        with pytest.raises(kind) as caught:
            await ask(client.with_options(timeout=READ_S) if kind is TIMEOUT else client)
        assert await ask(client)
    assert caught.type is kind


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"fault": "hang"}, httpx.ReadTimeout),
        ({"fault": "stall", "after": 1}, httpx.ReadTimeout),
        ({"fault": "cut"}, httpx.ReadError),
        ({"fault": "cut", "after": 1}, httpx.ReadError),
        ({"fault": "cut", "after": 1000}, httpx.ReadError),
    ],
)
async def test_elevenlabss_sdk_lets_transport_errors_through(fault: dict[str, Any], kind: type[Exception]) -> None:
    async with sdks({"on": "speech", "nth": [2], **fault}) as (_, _, speaker):
        await speak(speaker)  # it connects, for which so short a time is too short on a busy machine
        with pytest.raises(kind):
            await speak(speaker, READ_S if kind is httpx.ReadTimeout else PATIENCE_S)
        assert len(await speak(speaker)) == SPEECH_BYTES


@pytest.mark.parametrize(
    ("ask", "fault", "brings"),
    [
        (transcribe, {}, TRANSCRIPT),
        (transcribe, {"fault": "empty"}, ""),
        (transcribe, {"fault": "error_frame"}, None),
        (transcribe_streamed, {"fault": "empty"}, ""),
        (transcribe_streamed, {"fault": "content_type"}, ""),
        (chat, {}, [*TOKENS, "stop"]),
        (chat, {"fault": "empty"}, ["stop"]),
        (chat, {"fault": "content_type"}, []),
        (chat, {"fault": "no_finish"}, []),
        (chat, {"fault": "no_finish", "after": 3}, [*TOKENS[:2]]),
        (chat, {"fault": "no_finish", "after": 8}, [*TOKENS]),
        (chat, {"fault": "content_filter", "after": 2}, [*TOKENS[:2], "content_filter"]),
        (chat, {"fault": "length", "after": 3}, [*TOKENS[:3], "length"]),
        (chat, {"fault": "refusal"}, ["I'm sorry,", " but I", " cannot help", " with that.", "stop"]),
        (chat, {"fault": "broken_tool_call"}, ['{"city": "Par', "tool_calls"]),
        (chat, {"fault": "broken_tool_call", "arguments": "not_json"}, ["city: Paris", "tool_calls"]),
    ],
)
async def test_openais_sdk_takes_some_faults_for_answers(
    ask: Callable[[AsyncOpenAI], Awaitable[Any]], fault: dict[str, Any], brings: Any
) -> None:
    rules = [{"on": "chat" if ask is chat else "transcription", **fault}] if fault else []
    async with sdks(*rules) as (_, client, _):
        assert await ask(client) == brings


@pytest.mark.parametrize(
    ("fault", "plain", "lines"),
    [
        ({}, SPEECH_BYTES, 4),
        ({"fault": "empty"}, 0, 0),
        ({"fault": "odd_length"}, SPEECH_BYTES - 1, 4),
        ({"fault": "garbage"}, SPEECH_BYTES, 0),
        ({"fault": "garbage", "after": 2}, SPEECH_BYTES, 2),
        ({"fault": "error_frame", "after": 2}, None, 3),
    ],
)
async def test_elevenlabss_sdk_takes_some_faults_for_answers(
    fault: dict[str, Any], plain: int | None, lines: int
) -> None:
    """It leaves out lines that are no JSON, without a word."""
    async with sdks(*([{"on": "speech", **fault}] if fault else [])) as (_, _, speaker):
        sound, chunks = await speak(speaker), await speak_timed(speaker)

    assert plain is None or len(sound) == plain
    assert len(chunks) == lines


async def test_an_endless_reply_is_read_until_the_caller_has_enough() -> None:
    async with sdks({"on": "chat", "fault": "endless"}) as (sandbox, client, _):
        reply = await client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Hi."}], stream=True
        )
        said = ""
        async for chunk in reply:
            said += chunk.choices[0].delta.content or ""
            if said.count("far") == 6:
                break
        await reply.close()
        async with asyncio.timeout(10):
            while sandbox.requests()[-1]["outcome"] == "running":
                await asyncio.sleep(0.001)

    whole = "".join(TOKENS)
    assert said.startswith(f"{whole} {whole} ")
    assert sandbox.requests()[-1]["outcome"] == "cancelled"


async def test_rules_can_tell_callers_apart_by_a_header() -> None:
    rule = {"on": "chat", "fault": "empty", "header": {"X-Session": "3"}}
    async with sdks(rule, headers={"X-Session": "3"}) as (_, client, _):
        assert await chat(client) == ["stop"]
    async with sdks(rule, headers={"X-Session": "4"}) as (_, client, _):
        assert await chat(client) == [*TOKENS, "stop"]


async def test_connections_are_numbered_so_that_one_can_see_them_kept() -> None:
    async with sdks({"on": "chat", "fault": "cut", "nth": [3]}) as (sandbox, client, speaker):
        for _ in range(2):
            await chat(client)
        await speak(speaker)
        with pytest.raises(openai.APIConnectionError):
            await chat(client)
        await chat(client)
        records = sandbox.requests()

    assert [record["connection"] for record in records] == [1, 1, 2, 1, 3]
    assert [record["fault"] for record in records] == [None, None, None, "cut", None]


async def test_a_status_leaves_the_connection_open_for_the_next_request() -> None:
    """The body that comes with the request is read first."""
    async with sdks({"on": "transcription", "fault": "status", "status": 500, "first": 2}) as (sandbox, client, _):
        for _ in range(2):
            with pytest.raises(openai.InternalServerError):
                await transcribe(client)
        assert await transcribe(client) == TRANSCRIPT
        assert [record["connection"] for record in sandbox.requests()] == [1, 1, 1]
