"""Transcripts by OpenAI's protocol, whole or streamed, and answers that are none."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from avatar_service.engines.base import TranscriptionOptions
from avatar_service.engines.openai_answers import ANSWER_BYTES
from avatar_service.engines.openai_transcriber import CHARACTERS, OpenAITranscriber
from avatar_service.errors import EngineError, EngineTimeout, Fault
from tests.service.engines.test_openai import SSE, UTTERANCE, engines
from tests.service.engines.test_openai_faults import DONE, ERROR_FRAME, JSON, closed
from tests.service.engines.vendor import Answer, Vendor, event, vendor

STREAMING = "gpt-4o-transcribe"


@asynccontextmanager
async def transcribing(*script: Answer, **limits: Any) -> AsyncIterator[tuple[OpenAITranscriber, Vendor]]:
    async with vendor(*script) as serving, engines(serving, **limits) as (_, transcriber):
        yield transcriber, serving


def whole(body: object) -> Answer:
    return Answer((json.dumps(body).encode(),), content_type=JSON)


def streamed(*texts: str, done: str | None, **answer: Any) -> Answer:
    """A transcript as current models stream it."""
    deltas = [event({"type": "transcript.text.delta", "delta": text}) for text in texts]
    last = [] if done is None else [event({"type": "transcript.text.done", "text": done}), DONE]
    return Answer((*deltas, *last), content_type=SSE, **answer)


async def understood(transcriber: OpenAITranscriber, model: str = "whisper-1") -> str:
    return await transcriber.transcribe(UTTERANCE, TranscriptionOptions(model))


NO_TRANSCRIPTS = {
    "a page": Answer((b"<html>words of the vendor</html>",), content_type="text/html"),
    "a text": Answer((b"words of the vendor\n",), content_type="text/plain"),
    "a string": whole("words of the vendor"),
    "a list": whole(["words"]),
    "no text": whole({"words": []}),
    "a text that is none": whole({"text": None}),
    "half a JSON": Answer((b'{"text": "wor',), content_type=JSON),
    "no UTF-8": Answer((b'{"text": "\xff\xfe"}',), content_type=JSON),
    "nothing": Answer(content_type=JSON),
    "too long": whole({"text": "words " * CHARACTERS}),
    "too large": Answer((b'{"text": "', *[b"x" * 1_000_000] * (ANSWER_BYTES // 1_000_000 + 1)), content_type=JSON),
}


@pytest.mark.parametrize("answer", NO_TRANSCRIPTS.values(), ids=NO_TRANSCRIPTS)
@pytest.mark.parametrize("model", ["whisper-1", STREAMING])
async def test_what_is_no_transcript_is_malformed_and_asked_for_again(answer: Answer, model: str) -> None:
    async with transcribing(answer, whole({"text": "Far."}), attempts=2, retry_wait_s=0.01) as (transcriber, serving):
        assert await understood(transcriber, model) == "Far."
        assert len(serving.requests) == 2
    async with transcribing(answer) as (transcriber, _):
        with pytest.raises(EngineError) as failed:
            await understood(transcriber, model)
    assert (failed.value.stage, failed.value.fault) == ("transcribe", Fault.MALFORMED)
    assert "words" not in str(failed.value)


NO_STREAMS = {
    "cut": (streamed("How ", done=None, cut=True), Fault.CONNECTION),
    "without an end": (streamed("How ", done=None), Fault.MALFORMED),
    "stalled": (streamed("How ", done=None, stall=True), Fault.TIMEOUT),
    "hanging": (Answer(pause_s=5.0, content_type=SSE), Fault.TIMEOUT),
    "an error frame": (Answer((ERROR_FRAME,), content_type=SSE), Fault.OVERLOADED),
    "garbage": (Answer((event("words"),), content_type=SSE), Fault.MALFORMED),
    "a number": (Answer((event("7"),), content_type=SSE), Fault.MALFORMED),
    "endless": (streamed(*["word " * 1_000] * 20, done=None), Fault.MALFORMED),
}


@pytest.mark.parametrize(("answer", "fault"), NO_STREAMS.values(), ids=NO_STREAMS)
async def test_a_streamed_transcript_that_fails_is_asked_for_again_as_a_whole(answer: Answer, fault: Fault) -> None:
    """Nobody has seen its beginning."""
    limits: dict[str, Any] = {"first_output_s": 0.4, "between_outputs_s": 0.3, "retry_wait_s": 0.01}
    again = streamed("How ", "far?", done="How far?")
    async with transcribing(answer, again, attempts=2, **limits) as (transcriber, serving):
        assert await understood(transcriber, STREAMING) == "How far?"
        assert len(serving.requests) == 2
        await closed(serving)
    async with transcribing(answer, **limits) as (transcriber, serving):
        with pytest.raises(EngineError) as failed:
            await understood(transcriber, STREAMING)
        await closed(serving)
    assert failed.value.fault is fault


@pytest.mark.parametrize(
    ("model", "streams"),
    [
        ("whisper-1", False),
        ("Systran/faster-whisper-small", False),
        ("gpt-transcribe", True),
        ("gpt-4o-transcribe", True),
        ("gpt-4o-mini-transcribe", True),
    ],
)
async def test_models_that_stream_are_asked_to(model: str, streams: bool) -> None:
    async with transcribing(whole({"text": "Far."})) as (transcriber, serving):
        assert await understood(transcriber, model) == "Far.", "a server may ignore the wish"
    assert serving.requests[0]["fields"].get("stream") == ("true" if streams else None)


async def test_a_stream_may_last_longer_than_the_limit_of_its_beginning() -> None:
    slow = streamed(*["How far "] * 6, done="How far is it?", pause_s=0.15)
    async with transcribing(slow, first_output_s=0.5, between_outputs_s=0.5) as (transcriber, _):
        assert await understood(transcriber, STREAMING) == "How far is it?"


async def test_a_stream_may_not_be_silent_for_as_long_as_its_beginning() -> None:
    stalls = streamed("How ", done=None, stall=True)
    async with transcribing(stalls, first_output_s=9.0, between_outputs_s=0.2) as (transcriber, serving):
        async with asyncio.timeout(4.0):
            with pytest.raises(EngineTimeout):
                await understood(transcriber, STREAMING)
        await closed(serving)


async def test_a_server_that_refuses_to_stream_is_asked_without_once_and_for_all() -> None:
    body = {"error": {"message": "words", "type": "invalid_request_error", "param": "stream", "code": None}}
    refused = Answer((json.dumps(body).encode(),), 400, JSON)
    async with transcribing(refused, whole({"text": "Far."})) as (transcriber, serving):
        assert [await understood(transcriber, STREAMING) for _ in range(2)] == ["Far.", "Far."]
    assert [request["fields"].get("stream") for request in serving.requests] == ["true", None, None]


async def test_a_transcript_is_one_line_of_what_can_be_written() -> None:
    text = " How\n far\x00 is\tit?\u200d \ud83d\r\n"
    async with transcribing(whole({"text": text})) as (transcriber, _):
        assert await understood(transcriber) == "How far is it?\u200d \ufffd"
