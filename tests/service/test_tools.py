"""A conversation in which the chat model calls functions of the client's, over a real socket."""

from pathlib import Path
from typing import Any

import grpc

from avatar.v1 import NoticeReason, ToolResult, ToolResults, TurnOutcome, TurnSource
from avatar_service.engines.base import Message, Tool
from avatar_service.media.types import ToolCall
from tests.fakes.chat import FakeChat, Reply
from tests.service.calls import Call, Fakes, serving

SCHEMA = '{"type": "object", "properties": {"city": {"type": "string"}}}'
TOOLS: dict[str, Any] = {
    "tools": [
        {"name": "get_weather", "description": "Tells the weather.", "parameters_json": SCHEMA},
        {"name": "hang_up", "description": "Ends the call."},
    ]
}
WEATHER = ToolCall("call_1", "get_weather", '{"city": "Paris"}')
HANG_UP = ToolCall("call_2", "hang_up", "{}")


def calling(*calls: ToolCall, text: str = "Let me see.") -> Fakes:
    """A chat model that calls these, then answers."""
    return Fakes(chat=FakeChat(Reply(text, 0.01, 0.01, tool_calls=calls), Reply("It is grey.", 0.01, 0.01)))


async def answer(call: Call, *results: ToolResult) -> None:
    await call.send(tool_results=ToolResults(results=results))


async def test_the_model_calls_a_tool_and_answers_from_its_result(store: Path) -> None:
    fakes = calling(WEATHER)
    async with serving(store, fakes) as server:
        call = server.converse()
        await call.configure(tools=TOOLS)
        await call.text("How is the weather in Paris?")
        asked = await call.until("tool_calls")
        assert (asked.turn_id, [(c.tool_call_id, c.name, c.arguments_json) for c in asked.calls]) == (
            1,
            [("call_1", "get_weather", '{"city": "Paris"}')],
        )
        waiting = await call.until("turn_completed")
        assert waiting.outcome == TurnOutcome.TURN_OUTCOME_AWAITING_TOOLS
        assert waiting.heard_text == "Let me see."
        await answer(call, ToolResult(tool_call_id="call_1", output='{"sky": "grey"}'))
        started = await call.until("turn_started")
        assert (started.turn_id, started.source) == (2, TurnSource.TURN_SOURCE_TOOL_RESULTS)
        completed = await call.until("turn_completed")
        assert (completed.outcome, completed.heard_text) == (TurnOutcome.TURN_OUTCOME_COMPLETED, "It is grey.")
        assert await call.finish() is grpc.StatusCode.OK
    assert fakes.chat.options[0].tools == (
        Tool("get_weather", "Tells the weather.", SCHEMA),
        Tool("hang_up", "Ends the call."),
    )
    assert fakes.chat.requests[1][1:] == [
        Message("user", "How is the weather in Paris?"),
        Message("assistant", "Let me see.", (WEATHER,)),
        Message("tool", '{"sky": "grey"}', tool_call_id="call_1"),
    ]


async def test_what_is_called_without_a_word_is_answered_like_any_other(store: Path) -> None:
    async with serving(store, calling(WEATHER, text="")) as server:
        call = server.converse()
        await call.configure(tools=TOOLS)
        await call.text("How is the weather in Paris?")
        await call.until("tool_calls")
        await answer(call, ToolResult(tool_call_id="call_1", output="grey"))
        assert (await call.until("turn_completed", lambda turn: turn.turn_id == 2)).heard_text == "It is grey."
        assert await call.finish() is grpc.StatusCode.OK
    first = call.all("turn_completed")[0]
    assert (first.outcome, first.heard_text) == (TurnOutcome.TURN_OUTCOME_AWAITING_TOOLS, "")


async def test_the_next_turn_waits_for_every_result_and_for_the_end_of_what_is_spoken(store: Path) -> None:
    fakes = calling(WEATHER, HANG_UP)
    async with serving(store, fakes) as server:
        call = server.converse()
        await call.configure(tools=TOOLS)
        await call.text("How is the weather? And hang up.")
        await call.until("tool_calls")
        await answer(call, ToolResult(tool_call_id="call_2", output="no line", failed=True))
        await answer(call, ToolResult(tool_call_id="call_1", output="grey"))
        assert await call.finish() is grpc.StatusCode.OK
    assert [turn.outcome for turn in call.all("turn_completed")] == [
        TurnOutcome.TURN_OUTCOME_AWAITING_TOOLS,
        TurnOutcome.TURN_OUTCOME_COMPLETED,
    ]
    second_began = call.kinds.index("turn_started", call.kinds.index("turn_started") + 1)
    assert call.kinds.index("turn_completed") < second_began
    results = fakes.chat.requests[1][-2:]
    assert [result.tool_call_id for result in results] == ["call_1", "call_2"]
    assert results[0].text == "grey"
    assert "no line" in results[1].text
    assert "error" in results[1].text


async def test_an_interruption_cancels_the_calls_and_leaves_nothing_of_them(store: Path) -> None:
    fakes = calling(WEATHER, HANG_UP)
    async with serving(store, fakes) as server:
        call = server.converse()
        await call.configure(tools=TOOLS)
        await call.text("How is the weather?")
        await call.until("turn_completed")
        await call.text("Never mind.")
        cancelled = await call.until("tool_calls_cancelled")
        assert (cancelled.turn_id, list(cancelled.tool_call_ids)) == (1, ["call_1", "call_2"])
        await answer(call, ToolResult(tool_call_id="call_1", output="grey"))
        ignored = await call.until("notice")
        assert ignored.reason == NoticeReason.NOTICE_REASON_REQUEST_IGNORED
        assert "call_1" in ignored.message
        assert await call.finish() is grpc.StatusCode.OK
    told = fakes.chat.requests[1]
    assert not any(message.role == "tool" or message.tool_calls for message in told)
    assert told[-1] == Message("user", "Never mind.")


async def test_results_that_nobody_waits_for_are_ignored_with_a_notice(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure(tools=TOOLS)
        await answer(call, ToolResult(tool_call_id="nothing"))
        assert (await call.until("notice")).reason == NoticeReason.NOTICE_REASON_REQUEST_IGNORED
        assert await call.finish() is grpc.StatusCode.OK


async def test_a_client_that_says_no_more_is_not_waited_for(store: Path) -> None:
    """The results cannot come any more: the model hears so and the conversation ends."""
    async with serving(store, calling(WEATHER)) as server:
        call = server.converse()
        await call.configure(tools=TOOLS)
        await call.text("How is the weather?")
        assert await call.finish() is grpc.StatusCode.OK
        assert server.fakes.idle
    assert call.all("turn_completed")[0].outcome == TurnOutcome.TURN_OUTCOME_AWAITING_TOOLS
