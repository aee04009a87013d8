"""The sandbox in OpenAI's place, as the unchanged SDK sees it over a real socket."""

import time

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.integration.sandbox.sdk import (
    QUESTION,
    QUESTION_TEXT,
    eventually,
    openai_client,
    sentences,
    silent_wav,
    user,
    words,
)
from tests.integration.sandbox_fixture import RunningSandbox


async def test_the_demo_question_is_understood_every_time(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        for _ in range(5):
            transcript = await client.audio.transcriptions.create(file=("q.wav", QUESTION), model="whisper-1")
            assert words(transcript.text) == words(QUESTION_TEXT)


async def test_the_text_format_is_the_bare_text(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        text = await client.audio.transcriptions.create(
            file=("q.wav", QUESTION), model="whisper-1", response_format="text", language="en"
        )
        assert text.endswith("\n")
        assert words(text) == words(QUESTION_TEXT)


async def test_the_verbose_format_has_words_with_rising_times(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        transcript = await client.audio.transcriptions.create(
            file=("q.wav", QUESTION),
            model="whisper-1",
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
        )
        assert transcript.duration == pytest.approx(3.08, abs=0.01)
        assert transcript.words is not None
        assert transcript.segments is not None
        assert words(" ".join(word.word for word in transcript.words)) == words(QUESTION_TEXT)
        times = [time_s for word in transcript.words for time_s in (word.start, word.end)]
        assert times == sorted(times)
        assert times[-1] <= transcript.duration


async def test_events_spell_the_text_and_end_with_it(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        stream = await client.audio.transcriptions.create(
            file=("q.wav", QUESTION), model="gpt-4o-mini-transcribe", stream=True
        )
        events = [event async for event in stream]
        deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
        assert events[-1].type == "transcript.text.done"
        assert "".join(deltas) == events[-1].text
        assert words(events[-1].text) == words(QUESTION_TEXT)


async def test_silence_has_no_words(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        transcript = await client.audio.transcriptions.create(file=("s.wav", silent_wav(2.0)), model="whisper-1")
        assert transcript.text == ""


async def test_a_streamed_reply_arrives_while_it_is_made(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        stream = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=user(QUESTION_TEXT),
            stream=True,
            stream_options={"include_usage": True},
            max_tokens=150,
            temperature=0.7,
        )
        chunks: list[ChatCompletionChunk] = []
        arrivals: list[float] = []
        async for chunk in stream:
            chunks.append(chunk)
            arrivals.append(time.monotonic())
        first, *middle, finish, usage = chunks
        assert first.choices[0].delta.role == "assistant"
        text = "".join(chunk.choices[0].delta.content or "" for chunk in middle)
        assert "Paris" in text
        assert finish.choices[0].finish_reason == "stop"
        assert [chunk.choices[0].finish_reason for chunk in middle] == [None] * len(middle)
        assert usage.choices == []
        assert usage.usage is not None
        # The token that ends the reply is counted and has no text.
        assert 0 <= usage.usage.completion_tokens - len(middle) <= 1
        # Tokens are made one by one, at no more than a few hundred a second.
        assert arrivals[-1] - arrivals[0] > 0.002 * len(middle)
        assert sandbox.last_request("/chat/completions")["outcome"] == "completed"


async def test_a_reply_has_at_most_two_sentences_by_default(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        for question in ("Why is the sky blue?", "What do bees do?", "Tell me about the sea."):
            completion = await client.chat.completions.create(model="gpt-4o", messages=user(question))
            assert 1 <= len(sentences(completion.choices[0].message.content or "")) <= 2


async def test_three_sentences_are_said_when_asked_for(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        completion = await client.chat.completions.create(
            model="gpt-4o", messages=user("Tell me about Paris in three sentences.")
        )
        assert len(sentences(completion.choices[0].message.content or "")) == 3
        assert completion.choices[0].finish_reason == "stop"
        assert completion.usage is not None
        assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


async def test_the_token_limit_ends_a_reply(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        completion = await client.chat.completions.create(
            model="gpt-4o", messages=user("Tell me about Paris in three sentences."), max_completion_tokens=5
        )
        assert completion.choices[0].finish_reason == "length"
        assert completion.usage is not None
        assert completion.usage.completion_tokens == 5


async def test_hanging_up_stops_the_model(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        stream = await client.chat.completions.create(
            model="gpt-4o", messages=user("Tell me about dogs in ten sentences."), stream=True
        )
        received = 0
        async for _ in stream:
            received += 1
            if received == 6:  # the role and five tokens
                break
        await stream.close()
        await eventually(lambda: sandbox.last_request("/chat/completions")["outcome"] == "cancelled")
        # The model works for one request at a time: an answer to the next shows that this one is over.
        await client.chat.completions.create(model="gpt-4o", messages=user("Hello!"), max_completion_tokens=1)
        tokens = sandbox.requests()[-2]["figures"]["completion_tokens"]
        assert 5 <= tokens < 30, "ten sentences have more than 100 tokens"


async def test_a_wrong_key(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox, "not-the-key") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.models.list()
        assert caught.value.code == "invalid_api_key"
        assert caught.value.request_id is not None
        assert "not-the-key" not in str(caught.value)


async def test_an_unknown_model(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="no-such-model", messages=user("Hi"), stream=True)
        assert caught.value.code == "model_not_found"
        with pytest.raises(openai.NotFoundError):
            await client.audio.transcriptions.create(file=("q.wav", QUESTION), model="no-such-model")


async def test_bad_requests_name_the_parameter(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        with pytest.raises(openai.BadRequestError) as no_messages:
            await client.chat.completions.create(model="gpt-4o", messages=[])
        assert no_messages.value.param == "messages"
        with pytest.raises(openai.BadRequestError) as not_audio:
            await client.audio.transcriptions.create(file=("q.wav", b"no audio"), model="whisper-1")
        assert not_audio.value.param == "file"
        with pytest.raises(openai.BadRequestError) as wrong_format:
            await client.audio.transcriptions.create(
                file=("q.wav", QUESTION), model="gpt-4o-transcribe", response_format="verbose_json"
            )
        assert wrong_format.value.param == "response_format"


async def test_a_conversation_that_is_too_long(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="gpt-4o", messages=user("word " * 5000), stream=True)
        assert caught.value.code == "context_length_exceeded"


async def test_a_route_that_does_not_exist(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="m", input="x")
