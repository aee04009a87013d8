"""Replies by OpenAI's protocol that are cut, late, empty, endless, or no replies at all."""

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest
from structlog.testing import capture_logs

from avatar_service.engines.base import ChatDelta, ChatOptions, Tool
from avatar_service.engines.openai_answers import ANSWER_BYTES
from avatar_service.engines.openai_chat import TOKEN_CHARACTERS, OpenAIChat
from avatar_service.errors import EngineError, Fault
from tests.service.engines.test_openai import MESSAGES, REPLY, SECRET, SSE, chatting
from tests.service.engines.test_openai_tools import piece
from tests.service.engines.vendor import Answer, Vendor, chunk, event

JSON = "application/json"
OPTIONS = ChatOptions("gpt-4o-mini", max_tokens=100, temperature=0.7, tools=(Tool("hang_up", "Ends the call."),))
ROLE = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
STOP, DONE = chunk(finish_reason="stop"), event("[DONE]")
ERROR_FRAME = event({"error": {"message": "words of the vendor", "type": "server_error", "code": None}})


async def written(chat: OpenAIChat) -> list[ChatDelta]:
    async with aclosing(chat.complete(MESSAGES, OPTIONS)) as deltas:
        return [delta async for delta in deltas]


def said(deltas: list[ChatDelta]) -> str:
    return "".join(delta.text for delta in deltas)


async def broken_off(chat: OpenAIChat) -> tuple[str, EngineError]:
    """What comes of a reply that fails, and why it does."""
    text = ""
    try:
        async with aclosing(chat.complete(MESSAGES, OPTIONS)) as deltas:
            async for delta in deltas:
                text += delta.text
    except EngineError as error:
        return text, error
    raise AssertionError("the reply is whole")


async def closed(serving: Vendor) -> None:
    """Wait until the vendor has no open request any more."""
    async with asyncio.timeout(5.0):
        while serving.open:
            await asyncio.sleep(0.01)


BROKEN = {
    "no stream": Answer((b"<html>words of the vendor</html>",), content_type="text/html"),
    "a whole answer": Answer((json.dumps({"choices": [{"message": {"content": "Hi."}}]}).encode(),), content_type=JSON),
    "nothing": Answer(content_type=SSE),
    "no finish reason": Answer((ROLE, DONE), content_type=SSE),
    "white space": Answer((ROLE, chunk("\n\n"), chunk(" "), STOP, DONE), content_type=SSE),
    "an empty reply": Answer((ROLE, STOP, DONE), content_type=SSE),
    "no JSON": Answer((event("words of the vendor"),), content_type=SSE),
    "no UTF-8": Answer((b"data: \xff\xfe\n\n",), content_type=SSE),
    "too deep": Answer((event("[" * 100_000),), content_type=SSE),
    "a list": Answer((event("[1, 2]"),), content_type=SSE),
    "null": Answer((event("null"),), content_type=SSE),
    "choices that are none": Answer((event({"choices": "words"}),), content_type=SSE),
    "a choice that is none": Answer((event({"choices": [7]}),), content_type=SSE),
    "text that is none": Answer((event({"choices": [{"delta": {"content": {"a": 1}}}]}),), content_type=SSE),
    "calls that are none": Answer((event({"choices": [{"delta": {"tool_calls": [[]]}}]}),), content_type=SSE),
    "broken calls": Answer((piece(0, "{", "hang_up", "c1"), chunk(finish_reason="tool_calls")), content_type=SSE),
    "no end of an event": Answer((b"data: ", *[b"x" * 1_000_000] * (ANSWER_BYTES // 1_000_000 + 1)), content_type=SSE),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_what_is_no_reply_is_malformed_and_asked_for_again(answer: Answer) -> None:
    whole = Answer(REPLY, content_type=SSE)
    async with chatting(answer, whole, attempts=2, retry_wait_s=0.01) as (chat, serving):
        assert said(await written(chat)) == "It is near."
        assert len(serving.requests) == 2
    async with chatting(answer) as (chat, _):
        with pytest.raises(EngineError) as failed:
            await written(chat)
    assert failed.value.fault is Fault.MALFORMED
    assert "words" not in str(failed.value)


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (Answer((ROLE, chunk("It is ")), content_type=SSE, cut=True), Fault.CONNECTION),
        (Answer((ROLE, chunk("It is ")), content_type=SSE, stall=True), Fault.TIMEOUT),
        (Answer((ROLE, chunk("It is "), ERROR_FRAME), content_type=SSE), Fault.OVERLOADED),
        (Answer((ROLE, chunk("It is "), DONE), content_type=SSE), Fault.MALFORMED),
        (Answer((ROLE, chunk("It is "), event("words")), content_type=SSE), Fault.MALFORMED),
        (Answer((ROLE, chunk("It is "), piece(0, "{", "hang_up", "c"), STOP), content_type=SSE), Fault.MALFORMED),
        (Answer((ROLE, chunk("It is "), chunk(finish_reason="content_filter")), content_type=SSE), Fault.FILTERED),
    ],
    ids=["cut", "stall", "error frame", "no finish reason", "garbage", "broken calls", "content filter"],
)
async def test_a_reply_that_breaks_off_keeps_its_beginning_and_is_not_asked_for_again(
    broken: Answer, fault: Fault
) -> None:
    async with chatting(broken, attempts=3, between_outputs_s=0.3) as (chat, serving):
        text, failed = await broken_off(chat)
        assert len(serving.requests) == 1
        await closed(serving)
    assert text == "It is "
    assert failed.fault is fault
    assert "words" not in str(failed)


@pytest.mark.parametrize(
    "answer", [Answer((ROLE,), content_type=SSE, cut=True), Answer((ROLE,), content_type=SSE, stall=True)]
)
async def test_before_the_first_text_nothing_has_begun(answer: Answer) -> None:
    """The first event of a reply has a role and no text."""
    whole = Answer(REPLY, content_type=SSE)
    limits = {"first_output_s": 0.3, "between_outputs_s": 0.3}
    async with chatting(answer, whole, attempts=2, retry_wait_s=0.01, **limits) as (chat, serving):
        assert said(await written(chat)) == "It is near."
        assert len(serving.requests) == 2


async def test_a_key_that_is_not_taken_is_named_by_its_setting_and_not_shown() -> None:
    body = {"error": {"message": f"Incorrect API key: {SECRET}", "type": "x", "code": "invalid_api_key"}}
    async with chatting(Answer((json.dumps(body).encode(),), 401, JSON), attempts=3) as (chat, serving):
        _, failed = await broken_off(chat)
        assert len(serving.requests) == 1
    assert failed.fault is Fault.AUTHENTICATION
    assert "OPENAI_API_KEY" in failed.advice
    assert SECRET not in f"{failed} {failed.advice}"


async def test_a_content_filter_before_any_text_is_final_and_says_what_it_is() -> None:
    answer = Answer((ROLE, chunk(finish_reason="content_filter"), DONE), content_type=SSE)
    async with chatting(answer, attempts=3) as (chat, serving):
        with pytest.raises(EngineError) as failed:
            await written(chat)
        assert len(serving.requests) == 1
    assert failed.value.fault is Fault.FILTERED
    assert failed.value.advice


async def test_what_a_model_says_to_refuse_is_its_reply() -> None:
    refusal = event({"choices": [{"delta": {"refusal": "I cannot say."}, "finish_reason": None}]})
    async with chatting(Answer((ROLE, refusal, STOP, DONE), content_type=SSE)) as (chat, _):
        deltas = await written(chat)
    assert said(deltas) == "I cannot say."
    assert deltas[-1].finish_reason == "stop"


async def test_a_reply_of_the_greatest_length_says_so() -> None:
    async with chatting(Answer((chunk("It is"), chunk(finish_reason="length")), content_type=SSE)) as (chat, _):
        assert (await written(chat))[-1].finish_reason == "length"


@pytest.mark.parametrize(
    "answer",
    [
        Answer((chunk("Near."), STOP), content_type=SSE, cut=True),
        Answer((chunk("Near."), STOP), content_type=SSE, stall=True),
        Answer((chunk("Near."), STOP, ERROR_FRAME), content_type=SSE),
        Answer((chunk("Near."), STOP, event("words")), content_type=SSE),
    ],
    ids=["cut", "stall", "error frame", "garbage"],
)
async def test_whatever_goes_wrong_behind_its_end_a_reply_is_whole(answer: Answer) -> None:
    async with chatting(answer, between_outputs_s=5.0) as (chat, serving):
        async with asyncio.timeout(4.0):
            deltas = await written(chat)
        await closed(serving)
    assert (said(deltas), deltas[-1].finish_reason) == ("Near.", "stop")


async def test_a_reply_without_end_is_cut_at_a_multiple_of_what_was_asked_for() -> None:
    words = Answer((chunk("word " * 100),) * 100, content_type=SSE)
    async with chatting(words) as (chat, serving):
        text, failed = await broken_off(chat)
        await closed(serving)
    assert failed.fault is Fault.MALFORMED
    assert 0 < len(text) <= TOKEN_CHARACTERS * OPTIONS.max_tokens


async def test_a_model_that_writes_a_long_call_is_at_work() -> None:
    """Its pieces, and what it thinks before, are no output, but no silence either."""
    thought = event({"choices": [{"index": 0, "delta": {"reasoning_content": "Hm."}, "finish_reason": None}]})
    pieces = [*[thought] * 4, piece(0, '{"a": "', "hang_up", "c1"), *[piece(0, "x")] * 4, piece(0, '"}')]
    answer = Answer((*pieces, chunk(finish_reason="tool_calls")), content_type=SSE, pause_s=0.1)
    async with chatting(answer, first_output_s=0.5, between_outputs_s=0.5) as (chat, _):
        (delta,) = await written(chat)
    assert delta.tool_calls[0].arguments_json == '{"a": "xxxx"}'


async def test_nor_may_it_be_at_work_for_longer_than_the_stage_has() -> None:
    async with chatting(Answer((ROLE,) * 100, content_type=SSE, pause_s=0.1), stage_s=0.5) as (chat, serving):
        _, failed = await broken_off(chat)
        await closed(serving)
    assert failed.fault is Fault.TIMEOUT


async def test_calls_without_numbers_are_told_apart_by_their_ids() -> None:
    def unnumbered(call_id: str | None, arguments: str) -> bytes:
        call: dict[str, Any] = {"id": call_id, "function": {"name": "hang_up", "arguments": arguments}}
        return event({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": None}]})

    pieces = (unnumbered("a", "{"), unnumbered(None, "}"), unnumbered("b", "{}"))
    async with chatting(Answer((*pieces, chunk(finish_reason="tool_calls")), content_type=SSE)) as (chat, _):
        (delta,) = await written(chat)
    assert [(call.tool_call_id, call.arguments_json) for call in delta.tool_calls] == [("a", "{}"), ("b", "{}")]


async def test_characters_that_were_cut_in_two_are_joined_and_lost_halves_can_be_sent_on() -> None:
    halves = [event({"choices": [{"delta": {"content": half}}]}) for half in ("Hi \ud83d", "\ude00", "\ude00.")]
    async with chatting(Answer((*halves, STOP), content_type=SSE)) as (chat, _):
        deltas = await written(chat)
    assert said(deltas) == "Hi \U0001f600\ufffd."


async def test_an_attempt_tells_the_vendors_name_of_the_request_and_what_came() -> None:
    with capture_logs() as lines:
        async with chatting(Answer(REPLY, content_type=SSE, headers={"x-request-id": "req_7"})) as (chat, _):
            await written(chat)
    (finished,) = [line for line in lines if line["event"] == "attempt_finished"]
    assert (finished["vendor_request_id"], finished["bytes"]) == ("req_7", len("It is near."))
