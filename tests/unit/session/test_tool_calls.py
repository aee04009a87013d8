"""The calls of tools that the client has not answered yet."""

import json

import pytest

from avatar_service.engines.base import Message
from avatar_service.media.types import ToolCall
from avatar_service.session.inputs import ToolResult
from avatar_service.session.tool_calls import PendingTools, TimedOut

WEATHER = ToolCall("a", "get_weather", '{"city": "Paris"}')
TIMER = ToolCall("b", "set_timer", "{}")
ASKED = Message("assistant", "", (WEATHER, TIMER))


@pytest.fixture
def tools() -> PendingTools:
    """Turn 3 has asked for two tools."""
    pending = PendingTools()
    pending.asked(3, (WEATHER, TIMER))
    return pending


def result(tool_call_id: str, text: str) -> Message:
    return Message("tool", text, tool_call_id=tool_call_id)


def error(message: Message) -> str:
    """What the chat model is told of a failure."""
    told: str = json.loads(message.text)["error"]
    return told


def test_the_round_is_complete_with_its_last_result_and_told_in_the_order_of_the_calls(tools: PendingTools) -> None:
    assert tools.turn_id == 3
    assert tools.answered([ToolResult("b", "set")]) is None
    assert tools.answered([ToolResult("a", "grey")]) == (ASKED, result("a", "grey"), result("b", "set"))
    assert tools.turn_id == 0


def test_results_that_come_together_are_the_same(tools: PendingTools) -> None:
    results = [ToolResult("a", "grey"), ToolResult("b", "set")]
    assert tools.answered(results) == (ASKED, result("a", "grey"), result("b", "set"))


@pytest.mark.parametrize(("output", "why"), [("no such city", "no such city"), ("", "the tool failed")])
def test_a_failure_is_told_as_one(tools: PendingTools, output: str, why: str) -> None:
    messages = tools.answered([ToolResult("a", output, failed=True), ToolResult("b", "")])
    assert messages is not None
    assert error(messages[1]) == why
    assert messages[2] == result("b", "")


def test_results_that_nobody_waits_for_are_named_and_left(tools: PendingTools) -> None:
    tools.answered([ToolResult("a", "grey")])
    late = [ToolResult("a", "blue"), ToolResult("c", "?"), ToolResult("b", "set")]
    assert tools.unknown(late) == ("a", "c")
    assert tools.answered(late) == (ASKED, result("a", "grey"), result("b", "set"))


def test_without_calls_every_result_is_unknown() -> None:
    tools = PendingTools()
    assert tools.unknown([ToolResult("a", "grey")]) == ("a",)
    assert tools.answered([ToolResult("a", "grey")]) is None
    assert tools.cancel() is None
    assert tools.timed_out() is None


def test_a_cancel_names_what_was_still_awaited_and_its_results_are_unknown_then(tools: PendingTools) -> None:
    tools.answered([ToolResult("a", "grey")])
    assert tools.cancel() == (3, ("b",))
    assert tools.cancel() is None
    assert tools.unknown([ToolResult("b", "set")]) == ("b",)
    assert tools.answered([ToolResult("b", "set")]) is None


def test_what_has_not_come_in_time_has_failed(tools: PendingTools) -> None:
    tools.answered([ToolResult("a", "grey")])
    timed_out = tools.timed_out()
    assert isinstance(timed_out, TimedOut)
    assert (timed_out.turn_id, timed_out.tool_call_ids) == (3, ("b",))
    assert timed_out.messages[:2] == (ASKED, result("a", "grey"))
    assert "in time" in error(timed_out.messages[2])
    assert tools.timed_out() is None


def test_asking_twice_for_the_same_turn_keeps_what_came(tools: PendingTools) -> None:
    tools.answered([ToolResult("a", "grey")])
    tools.asked(3, (WEATHER, TIMER))
    assert tools.answered([ToolResult("b", "set")]) is not None


def test_a_turn_without_calls_asks_for_nothing(tools: PendingTools) -> None:
    tools.asked(4, ())
    assert tools.turn_id == 3
