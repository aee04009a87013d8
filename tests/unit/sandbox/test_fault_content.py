"""What a fault does to what the models yield, in virtual time."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, TypeVar

import pytest

from avatar_service.sandbox.alignment import Alignment
from avatar_service.sandbox.chat_reply import ArgumentsDelta, CallStart, RefusalDelta, ReplyPart
from avatar_service.sandbox.chat_request import ChatRequest, parse_chat
from avatar_service.sandbox.fault_content import FaultySpeech, faulty_hearing, faulty_reply
from avatar_service.sandbox.fault_kinds import InjectedFault, parse_fault
from avatar_service.sandbox.smollm import ReplyEnd, TextDelta
from avatar_service.sandbox.speaking import SpokenSentence
from avatar_service.sandbox.speech_encoding import SpeechPiece
from avatar_service.sandbox.transcript import Segment

Item = TypeVar("Item")

TOOLS = [{"type": "function", "function": {"name": "get_weather"}}, {"type": "function", "function": {"name": "add"}}]


def chat(**more: Any) -> ChatRequest:
    return parse_chat({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi."}], **more})


def fault(name: str, **fields: Any) -> InjectedFault:
    return parse_fault({"fault": name, **fields})


async def replied(*texts: str) -> AsyncGenerator[ReplyPart, None]:
    for text in texts:
        yield TextDelta(text)
    yield ReplyEnd("stop", 5, len(texts))


async def spoken(*sentences: SpokenSentence) -> AsyncGenerator[SpokenSentence, None]:
    for sentence in sentences:
        yield sentence


async def taken(items: AsyncGenerator[Item, None], most: int = 1000) -> list[Item]:
    found: list[Item] = []
    async with aclosing(items):
        async for item in items:
            found.append(item)
            if len(found) == most:
                break
    return found


SENTENCE = SpokenSentence(
    [SpeechPiece(b"abcd", 0.0, 0.02), SpeechPiece(b"efgh", 0.02, 0.04)],
    Alignment(("a", "b"), (0.0, 0.02), (0.02, 0.04)),
    Alignment(("a", "b"), (0.0, 0.02), (0.02, 0.04)),
    0.0,
)


async def test_without_a_fault_a_reply_is_left_as_it_is() -> None:
    assert await taken(faulty_reply(None, chat(), replied("One"))) == [TextDelta("One"), ReplyEnd("stop", 5, 1)]


async def test_an_empty_reply_ends_at_once() -> None:
    assert await taken(faulty_reply(fault("empty"), chat(), replied("One"))) == [ReplyEnd("stop", 0, 0)]


async def test_a_refusal_takes_the_place_of_the_text() -> None:
    *said, end = await taken(faulty_reply(fault("refusal"), chat(), replied("One")))

    assert all(isinstance(part, RefusalDelta) for part in said)
    assert isinstance(end, ReplyEnd)
    assert end.finish_reason == "stop"


@pytest.mark.parametrize("reason", ["content_filter", "length"])
@pytest.mark.parametrize(("after", "said"), [(0, 0), (1, 1), (9, 2)])
async def test_a_reply_ends_for_another_reason_after_so_many_tokens(reason: str, after: int, said: int) -> None:
    parts = await taken(faulty_reply(fault(reason, after=after), chat(), replied("One", " two")))

    assert parts == [*[TextDelta("One"), TextDelta(" two")][:said], ReplyEnd(reason, 0, said)]


@pytest.mark.parametrize(("tools", "name"), [({}, "unknown"), ({"tools": TOOLS}, "get_weather")])
@pytest.mark.parametrize(("arguments", "text"), [("cut", '{"city": "Par'), ("not_json", "city: Paris")])
async def test_a_broken_call_has_arguments_that_are_no_json(
    tools: dict[str, Any], name: str, arguments: str, text: str
) -> None:
    broken = fault("broken_tool_call", arguments=arguments)

    start, delta, end = await taken(faulty_reply(broken, chat(**tools), replied("One")))

    assert isinstance(start, CallStart)
    assert start.name == name
    assert delta == ArgumentsDelta(0, text)
    assert isinstance(end, ReplyEnd)
    assert end.finish_reason == "tool_calls"


async def test_a_dripped_reply_comes_at_so_many_tokens_a_second() -> None:
    loop = asyncio.get_running_loop()
    begun_s = loop.time()

    times_s = [loop.time() - begun_s async for _ in faulty_reply(fault("drip", rate=4), chat(), replied("One", " two"))]

    assert times_s == pytest.approx([0.25, 0.5, 0.75])


async def test_an_endless_reply_repeats_itself_and_keeps_nothing() -> None:
    reply = faulty_reply(fault("endless"), chat(stream=True), replied("One", " two."))

    parts = await taken(reply, most=8)

    assert "".join(part.text for part in parts if isinstance(part, TextDelta)) == "One two. One two. One two."
    assert await grown_bytes(faulty_reply(fault("endless"), chat(stream=True), replied("One"))) < 10_000


async def test_a_reply_that_is_not_streamed_has_an_end() -> None:
    assert len(await taken(faulty_reply(fault("endless"), chat(), replied("One")))) == 2


async def test_a_reply_that_nobody_reads_to_its_end_is_closed() -> None:
    closed = asyncio.Event()

    async def parts() -> AsyncGenerator[ReplyPart, None]:
        try:
            while True:
                yield TextDelta("On")
        finally:
            closed.set()

    await taken(faulty_reply(fault("drip", rate=10), chat(), parts()), most=2)

    assert closed.is_set()


async def test_an_empty_transcript_has_a_duration_and_no_words() -> None:
    async def heard() -> AsyncGenerator[Segment | float, None]:
        yield 2.5
        yield Segment("Hi.", 0.0, 2.5, (), 0.0, 0.0, ())

    assert await taken(faulty_hearing(fault("empty"), heard())) == [2.5]
    assert len(await taken(faulty_hearing(fault("stall"), heard()))) == 2


async def test_empty_speech_has_no_sentence() -> None:
    assert await taken(FaultySpeech(fault("empty")).of(spoken(SENTENCE))) == []


async def test_speech_of_odd_length_is_cut_within_samples_and_at_the_end() -> None:
    speech = FaultySpeech(fault("odd_length"))

    sentences = await taken(speech.of(spoken(SENTENCE, SENTENCE)))
    more = await taken(speech.of(spoken(SENTENCE)))

    assert [piece.data for sentence in sentences for piece in sentence.pieces] == [b"abc", b"defg", b"habc", b"defg"]
    assert more[0].pieces[0].data == b"habc"


async def test_endless_speech_goes_on_in_time_and_keeps_nothing() -> None:
    sentences = await taken(FaultySpeech(fault("endless")).of(spoken(SENTENCE)), most=3)

    assert [piece.start_s for sentence in sentences for piece in sentence.pieces] == pytest.approx(
        [0.0, 0.02, 0.04, 0.06, 0.08, 0.1]
    )
    assert sentences[2].written.starts_s == pytest.approx((0.08, 0.1))
    assert await grown_bytes(FaultySpeech(fault("endless")).of(spoken(SENTENCE))) < 10_000


async def test_endless_speech_leaves_at_twenty_times_real_time_at_most() -> None:
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    long = SpokenSentence([SpeechPiece(b"ab", 0.0, 4.0)], Alignment(), Alignment(), 0.0)

    await taken(FaultySpeech(fault("endless")).of(spoken(long)), most=6)

    assert loop.time() - begun_s == pytest.approx(5 * 4.0 / 20)


async def test_speech_that_is_not_streamed_has_an_end() -> None:
    assert await taken(FaultySpeech(fault("endless")).of(spoken(SENTENCE), streamed=False)) == [SENTENCE]


async def grown_bytes(items: AsyncGenerator[Any, None]) -> int:
    """By how much memory grows between the first hundred items and 5,000 more."""

    async def skip(iterator: AsyncIterator[Any], count: int) -> None:
        for _ in range(count):
            await anext(iterator)

    async with aclosing(items):
        await skip(items, 100)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            await skip(items, 5000)
            gc.collect()
            return tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
