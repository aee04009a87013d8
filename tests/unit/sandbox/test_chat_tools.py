"""Which functions a reply calls, with what arguments, and how it words their results."""

import json
from typing import Any

import pytest

from avatar_service.sandbox.chat_tools import (
    MAX_SCHEMA_DEPTH,
    Tool,
    ToolChoice,
    called_tools,
    is_asked_for,
    parse_choice,
    parse_tools,
)
from avatar_service.sandbox.errors import VendorError
from avatar_service.sandbox.tool_arguments import narrowed
from avatar_service.sandbox.tool_results import MAX_CHARS, worded_results

WEATHER, TIMER = Tool("get_weather", {}), Tool("set_timer", {})


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("get_weather", "What's the weather in Paris?"),
        ("get_current_weather", "How is the weather?"),
        ("set_timer", "Set two timers, please"),
        ("bookTable", "Book a table for four."),
        ("search", "Search for a hotel"),
        ("getHTTPStatus", "Tell me the HTTP status"),
        ("get_stock_price", "the price of that stock"),
        ("lookup_order", "Where is my order?"),
        ("end_call", "Now run end_call."),
    ],
)
def test_a_function_is_asked_for_by_the_words_of_its_name(name: str, question: str) -> None:
    assert is_asked_for(name, question)


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("get_weather", "Where is Paris?"),
        ("get_weather", "Whether or not"),
        ("get_stock_price", "What is the price?"),
        ("set_timer", "What time is it?"),
        ("search", "Hello!"),
    ],
)
def test_other_questions_do_not_ask_for_it(name: str, question: str) -> None:
    assert not is_asked_for(name, question)


def called(choice: ToolChoice, question: str, *, answers_tool: bool = False, parallel: bool = True) -> list[str]:
    tools = called_tools([WEATHER, TIMER], choice, question, answers_tool=answers_tool, parallel=parallel)
    return [tool.name for tool in tools]


def test_the_choice_decides() -> None:
    both = "the weather and a timer"
    assert called(ToolChoice("auto"), "a timer") == ["set_timer"]
    assert called(ToolChoice("auto"), both) == ["get_weather", "set_timer"]
    assert called(ToolChoice("auto"), both, parallel=False) == ["get_weather"]
    assert called(ToolChoice("auto"), both, answers_tool=True) == []
    assert called(ToolChoice("auto"), "hello") == []
    assert called(ToolChoice("none"), both) == []
    assert called(ToolChoice("required"), "hello") == ["get_weather"]
    assert called(ToolChoice("required"), "a timer") == ["set_timer"]
    assert called(ToolChoice("function", "set_timer"), "the weather", answers_tool=True) == ["set_timer"]


def test_without_tools_nothing_is_chosen() -> None:
    assert parse_tools(None) == ()
    assert parse_choice(None, ()) == ToolChoice("none")
    assert parse_choice(None, [WEATHER]) == ToolChoice("auto")


def nested(depth: int) -> Any:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    "tools",
    [
        "x",
        [{}],
        [{"type": "custom", "custom": {"name": "x"}}],
        [{"type": "function", "function": {"name": "no spaces"}}],
        [{"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}],
        [{"type": "function", "function": {"name": "f", "parameters": nested(MAX_SCHEMA_DEPTH)}}],
        [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "title": "x" * 20_000}}}],
        [{"type": "function", "function": {"name": "f"}}] * 129,
    ],
)
def test_tools_that_cannot_be_called_are_refused(tools: Any) -> None:
    with pytest.raises(VendorError) as caught:
        parse_tools(tools)
    assert caught.value.status == 400
    assert caught.value.body["error"]["param"].startswith("tools")


SCHEMA = {
    "type": "object",
    "properties": {
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "people": {"type": "integer", "minimum": 2, "maximum": 10},
        "size": {"type": "number"},
        "name": {"type": "string"},
    },
    "required": ["unit"],
}


def test_the_question_narrows_what_may_be_filled_in() -> None:
    fields = narrowed(SCHEMA, "Fahrenheit for four people at 7 or 40, size 2.5")["properties"]
    assert fields["unit"]["enum"] == ["fahrenheit"]
    assert fields["people"] == {"enum": [7, 4]}
    assert fields["size"] == {"enum": [7, 40, 2.5, 4]}
    assert fields["name"] == {"type": "string"}


def test_a_question_that_names_nothing_narrows_nothing() -> None:
    assert narrowed(SCHEMA, "hello") == SCHEMA
    assert narrowed({"type": "object"}, "hello 5") == {"type": "object"}


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        ({"temperature": 18, "sky": "clear"}, "The temperature is 18, and the sky is clear."),
        ({"windSpeed": {"km_h": 12}}, "The wind speed km h is 12."),
        ({"open": False, "until": None}, "The open is false, and the until is unknown."),
        ({"names": ["Ada", "Bo"]}, "The names is Ada, Bo."),
        ([], "The list is empty."),
        ({}, "There is nothing."),
        ("It is late", "It is late."),
        ("two\nlines!", "two lines!"),
        (5, "5."),
    ],
)
def test_results_are_worded_by_rule(result: Any, sentence: str) -> None:
    text = result if isinstance(result, str) else json.dumps(result)
    assert worded_results([text]) == sentence


def test_many_and_long_results_are_shortened() -> None:
    assert worded_results(['{"a": 1}', '{"b": 2}']) == "The a is 1. The b is 2."
    long = worded_results(["word " * 1000])
    assert len(long) <= MAX_CHARS
    assert long.endswith("word…")
    assert worded_results([""]) == "There is no result."
    assert worded_results(["[" * 500 + "]" * 500]) == "There is nothing."
