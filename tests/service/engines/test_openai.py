"""Transcription and chat by OpenAI's protocol, over a socket: what is sent, and what failures become."""

import asyncio
import io
import json
import wave
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from avatar_service.engines.base import ChatDelta, ChatOptions, Message, TranscriptionOptions
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.engines.openai_client import openai_client
from avatar_service.engines.openai_transcriber import OpenAITranscriber
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable
from avatar_service.media.types import Utterance
from avatar_service.settings import LimitSettings, OpenAISettings
from tests.service.engines.vendor import Answer, Vendor, chunk, event, vendor

SSE = "text/event-stream"
OPTIONS = ChatOptions("gpt-4o-mini", max_tokens=150, temperature=0.7)
MESSAGES = [
    Message("system", "Be brief."),
    Message("user", "How far?"),
    Message("assistant", "Near."),
    Message("user", "?"),
]
REPLY = (chunk("It "), chunk("is near."), chunk(finish_reason="stop"), chunk(usage=(12, 4)), event("[DONE]"))
UTTERANCE = Utterance(1, b"\x01\x02" * 1_600, 16_000, 0.0, 0.1)
SECRET = "sk-very-secret"


@asynccontextmanager
async def chatting(*script: Answer, **limits: Any) -> AsyncIterator[tuple[OpenAIChat, Vendor]]:
    async with vendor(*script) as serving, engines(serving, **limits) as (chat, _):
        yield chat, serving


@asynccontextmanager
async def engines(serving: Vendor, **limits: Any) -> AsyncIterator[tuple[OpenAIChat, OpenAITranscriber]]:
    settings = OpenAISettings.model_validate({"base_url": f"{serving.url}/v1", "api_key": SECRET})
    bounds = LimitSettings.model_validate({"attempts": 1} | limits)
    async with openai_client(settings, bounds) as client:
        yield OpenAIChat(client, bounds), OpenAITranscriber(client, bounds)


async def reply(chat: OpenAIChat) -> list[ChatDelta]:
    async with aclosing(chat.complete(MESSAGES, OPTIONS)) as deltas:
        return [delta async for delta in deltas]


async def test_a_reply_is_streamed_with_its_reason_and_its_usage() -> None:
    async with chatting(Answer(REPLY, content_type=SSE)) as (chat, serving):
        deltas = await reply(chat)
    assert "".join(delta.text for delta in deltas) == "It is near."
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]
    assert sum(delta.prompt_tokens for delta in deltas) == 12
    assert sum(delta.completion_tokens for delta in deltas) == 4
    (request,) = serving.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["headers"]["Authorization"] == f"Bearer {SECRET}"
    fields = request["fields"]
    assert (fields["model"], fields["max_tokens"], fields["temperature"]) == ("gpt-4o-mini", 150, 0.7)
    assert fields["stream"] is True
    assert [(m["role"], m["content"]) for m in fields["messages"]] == [(m.role, m.text) for m in MESSAGES]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, EngineRejected),
        (401, EngineRejected),
        (404, EngineRejected),
        (408, EngineTimeout),
        (429, EngineUnavailable),
        (500, EngineUnavailable),
        (503, EngineUnavailable),
    ],
)
async def test_a_status_becomes_our_error_without_the_vendors_words(status: int, error: type[EngineError]) -> None:
    body = json.dumps({"error": {"message": "words of the vendor", "type": "x"}}).encode()
    answer = Answer((body,), status, "application/json")
    async with chatting(answer) as (chat, serving):
        with pytest.raises(error) as failed:
            await reply(chat)
        assert len(serving.requests) == 1, "the SDK must not try again by itself"
    assert "words" not in str(failed.value)
    assert failed.value.stage == "think"


async def test_a_reply_that_is_cut_is_not_taken_for_whole() -> None:
    for answer in (
        Answer(REPLY[:2], content_type=SSE, cut=True),
        Answer((*REPLY[:2], event("[DONE]")), content_type=SSE),
        Answer(REPLY[:2], content_type=SSE),
    ):
        async with chatting(answer) as (chat, _):
            deltas = chat.complete(MESSAGES, OPTIONS)
            received = [await anext(deltas), await anext(deltas)]
            with pytest.raises(EngineUnavailable):
                await anext(deltas)
        assert "".join(delta.text for delta in received) == "It is near."


async def test_a_failed_attempt_is_followed_by_another() -> None:
    script = (Answer(status=503), Answer(cut=True), Answer(REPLY, content_type=SSE))
    async with chatting(*script, attempts=3, retry_wait_s=0.01) as (chat, serving):
        assert "".join(delta.text for delta in await reply(chat)) == "It is near."
        assert len(serving.requests) == 3


async def test_a_vendor_that_does_not_begin_in_time_is_a_timeout() -> None:
    async with chatting(Answer(REPLY, content_type=SSE, pause_s=5.0), first_output_s=0.2) as (chat, _):
        with pytest.raises(EngineTimeout):
            await reply(chat)


async def test_a_vendor_that_cannot_be_reached_is_unavailable() -> None:
    async with engines(Vendor(url="http://127.0.0.1:1")) as (chat, transcriber):
        with pytest.raises(EngineUnavailable):
            await reply(chat)
        with pytest.raises(EngineUnavailable):
            await transcriber.transcribe(UTTERANCE, TranscriptionOptions("whisper-1"))


async def test_who_stops_listening_closes_the_vendors_stream() -> None:
    async with chatting(Answer(REPLY * 100, content_type=SSE, pause_s=0.1)) as (chat, serving):
        async with aclosing(chat.complete(MESSAGES, OPTIONS)) as deltas:
            await anext(deltas)
            assert serving.open == 1
        async with asyncio.timeout(10.0):
            while serving.open:
                await asyncio.sleep(0.01)


async def test_an_utterance_is_sent_as_a_wav_file() -> None:
    body = json.dumps({"text": "How far is the moon?"}).encode()
    async with (
        vendor(Answer((body,), content_type="application/json")) as serving,
        engines(serving) as (_, transcriber),
    ):
        options = TranscriptionOptions("whisper-1", language="en-GB", prompt="moon")
        assert await transcriber.transcribe(UTTERANCE, options) == "How far is the moon?"
    (request,) = serving.requests
    fields = request["fields"]
    assert request["path"] == "/v1/audio/transcriptions"
    assert (fields["model"], fields["language"], fields["prompt"]) == ("whisper-1", "en", "moon")
    with wave.open(io.BytesIO(fields["file"])) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (16_000, 1, 2)
        assert wav.readframes(wav.getnframes()) == UTTERANCE.pcm


async def test_what_was_not_asked_for_is_not_sent() -> None:
    body = json.dumps({"text": ""}).encode()
    async with (
        vendor(Answer((body,), content_type="application/json")) as serving,
        engines(serving) as (_, transcriber),
    ):
        assert await transcriber.transcribe(UTTERANCE, TranscriptionOptions("whisper-1")) == ""
    assert not {"language", "prompt"} & set(serving.requests[0]["fields"])


@pytest.mark.parametrize(("status", "error"), [(401, EngineRejected), (500, EngineUnavailable)])
async def test_a_failed_transcription_says_its_stage(status: int, error: type[EngineError]) -> None:
    async with vendor(Answer(status=status)) as serving, engines(serving) as (_, transcriber):
        with pytest.raises(error) as failed:
            await transcriber.transcribe(UTTERANCE, TranscriptionOptions("whisper-1"))
    assert failed.value.stage == "transcribe"
