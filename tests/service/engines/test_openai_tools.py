"""Tools by OpenAI's protocol, over a socket: how they and their results are sent, and how calls are put together."""

import json
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest

from avatar_service.engines.base import ChatDelta, ChatOptions, Message, Tool
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.errors import EngineRejected, EngineUnavailable
from avatar_service.media.types import ToolCall
from tests.service.engines.test_openai import REPLY, SSE, chatting
from tests.service.engines.vendor import Answer, chunk, event

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = (Tool("get_weather", "Tells the weather.", json.dumps(SCHEMA)), Tool("hang_up", "Ends the call."))
OPTIONS = ChatOptions("gpt-4o-mini", max_tokens=150, temperature=0.7, tools=TOOLS)
QUESTION = [Message("user", "How is the weather in Paris?")]


def piece(index: int, arguments: str = "", name: str | None = None, call_id: str | None = None) -> bytes:
    """A chunk with a piece of a call: the first has its id and name."""
    function = {"arguments": arguments} | ({"name": name} if name else {})
    call: dict[str, Any] = {"index": index, "function": function}
    if call_id is not None:
        call |= {"id": call_id, "type": "function"}
    choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}
    return event({"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]})


async def reply(
    chat: OpenAIChat, messages: Sequence[Message] = QUESTION, options: ChatOptions = OPTIONS
) -> list[ChatDelta]:
    async with aclosing(chat.complete(messages, options)) as deltas:
        return [delta async for delta in deltas]


async def calls_of(*pieces: bytes, finish_reason: str = "tool_calls") -> tuple[ToolCall, ...]:
    async with chatting(Answer((*pieces, chunk(finish_reason=finish_reason)), content_type=SSE)) as (chat, _):
        *before, last = await reply(chat)
    assert not any(delta.tool_calls for delta in before)
    return last.tool_calls


async def test_tools_are_sent_with_their_schemas() -> None:
    async with chatting(Answer(REPLY, content_type=SSE)) as (chat, serving):
        await reply(chat)
        await reply(chat, options=ChatOptions("gpt-4o-mini", 150, 0.7))
    assert serving.requests[0]["fields"]["tools"] == [
        {
            "type": "function",
            "function": {"name": "get_weather", "description": "Tells the weather.", "parameters": SCHEMA},
        },
        {"type": "function", "function": {"name": "hang_up", "description": "Ends the call."}},
    ]
    assert "tools" not in serving.requests[1]["fields"]


async def test_calls_and_their_results_are_sent_as_the_vendor_wants_them() -> None:
    call = ToolCall("call_1", "get_weather", '{"city": "Paris"}')
    messages = [
        *QUESTION,
        Message("assistant", "", (call,)),
        Message("tool", '{"sky": "grey"}', tool_call_id="call_1"),
        Message("assistant", "Wait.", (ToolCall("call_2", "hang_up", "{}"),)),
        Message("tool", "done", tool_call_id="call_2"),
    ]
    async with chatting(Answer(REPLY, content_type=SSE)) as (chat, serving):
        await reply(chat, messages)
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    assert serving.requests[0]["fields"]["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": '{"sky": "grey"}', "tool_call_id": "call_1"},
        {
            "role": "assistant",
            "content": "Wait.",
            "tool_calls": [{"id": "call_2", "type": "function", "function": {"name": "hang_up", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "done", "tool_call_id": "call_2"},
    ]


async def test_calls_whose_arguments_come_in_pieces_are_put_together_by_their_index() -> None:
    calls = await calls_of(
        piece(0, "", "get_weather", "call_a"),
        piece(0, '{"city":'),
        piece(1, "", "hang_up", "call_b"),
        piece(0, ' "Paris"}'),
        piece(1, "{}"),
    )
    assert calls == (
        ToolCall("call_a", "get_weather", '{"city": "Paris"}'),
        ToolCall("call_b", "hang_up", "{}"),
    )


async def test_text_before_the_calls_is_streamed_as_any_text() -> None:
    answer = (chunk("Let me see."), piece(0, "{}", "hang_up", "call_a"), chunk(finish_reason="tool_calls"))
    async with chatting(Answer(answer, content_type=SSE)) as (chat, _):
        deltas = await reply(chat)
    assert "".join(delta.text for delta in deltas) == "Let me see."
    assert [call.name for delta in deltas for call in delta.tool_calls] == ["hang_up"]


@pytest.mark.parametrize(
    ("written", "passed_on"), [("", "{}"), (" ", "{}"), ('{"town":  "Paris"}\n', '{"town":  "Paris"}')]
)
async def test_arguments_are_passed_on_as_written_and_none_are_an_empty_object(written: str, passed_on: str) -> None:
    (call,) = await calls_of(piece(0, written, "get_weather", "call_a"))
    assert call.arguments_json == passed_on


async def test_a_call_that_was_forced_ends_with_another_reason() -> None:
    (call,) = await calls_of(piece(0, "{}", "hang_up", "call_a"), finish_reason="stop")
    assert call.name == "hang_up"


@pytest.mark.parametrize(
    ("pieces", "finish_reason", "why"),
    [
        ([piece(0, "{}", "format_disk", "call_a")], "tool_calls", "not given"),
        ([piece(0, '{"city": "Pa', "get_weather", "call_a")], "length", "ended within a tool call"),
        ([piece(0, '{"city": "Par', "get_weather", "call_a")], "tool_calls", "no JSON object"),
        ([piece(0, '["Paris"]', "get_weather", "call_a")], "tool_calls", "no JSON object"),
        ([piece(0, "[" * 60_000, "get_weather", "call_a")], "tool_calls", "no JSON object"),
        ([piece(index, "{}", "hang_up", f"call_{index}") for index in range(65)], "tool_calls", "too many"),
        ([piece(0, "x" * 64_001, "hang_up", "call_a")], "tool_calls", "too many"),
    ],
    ids=["unknown", "cut", "no JSON", "no object", "too deep", "many", "long"],
)
async def test_calls_that_cannot_be_passed_on_fail_the_reply(pieces: list[bytes], finish_reason: str, why: str) -> None:
    with pytest.raises(EngineUnavailable, match=why):
        await calls_of(*pieces, finish_reason=finish_reason)


def refusal(param: str, code: str = "unsupported_parameter", status: int = 400) -> Answer:
    """How the vendor refuses a parameter."""
    body = {"error": {"message": "words", "type": "invalid_request_error", "param": param, "code": code}}
    return Answer((json.dumps(body).encode(),), status, "application/json")


async def test_a_parameter_that_a_model_refuses_is_not_given_to_it_again() -> None:
    script = (refusal("max_tokens"), refusal("temperature", "unsupported_value"), Answer(REPLY, content_type=SSE))
    async with chatting(*script) as (chat, serving):
        for model in ("gpt-5", "gpt-5", "gpt-4o-mini"):
            deltas = await reply(chat, options=ChatOptions(model, 150, 0.7, TOOLS, "u-7"))
            assert "".join(delta.text for delta in deltas) == "It is near."
    sent = [request["fields"] for request in serving.requests]
    named = [{"max_tokens", "max_completion_tokens", "temperature"} & set(fields) for fields in sent]
    assert named == [
        {"max_tokens", "temperature"},
        {"max_completion_tokens", "temperature"},
        {"max_completion_tokens"},
        {"max_completion_tokens"},
        {"max_tokens", "temperature"},
    ]
    assert sent[3]["max_completion_tokens"] == 150
    assert {fields["user"] for fields in sent} == {"u-7"}


@pytest.mark.parametrize(
    "answer", [refusal("messages"), refusal("max_tokens", "invalid_value"), refusal("max_tokens", status=404)]
)
async def test_any_other_refusal_is_final(answer: Answer) -> None:
    async with chatting(answer) as (chat, serving):
        with pytest.raises(EngineRejected):
            await reply(chat)
        assert len(serving.requests) == 1


async def test_a_parameter_that_is_refused_by_both_its_names_is_given_up() -> None:
    async with chatting(refusal("max_tokens")) as (chat, serving):
        with pytest.raises(EngineRejected):
            await reply(chat)
        assert len(serving.requests) == 2


async def test_who_speaks_is_sent_only_where_the_caller_says_so() -> None:
    async with chatting(Answer(REPLY, content_type=SSE)) as (chat, serving):
        await reply(chat)
    assert "user" not in serving.requests[0]["fields"]
