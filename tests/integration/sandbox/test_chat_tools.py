"""Functions that the chat calls, and JSON that it answers, as the unchanged SDK sees them."""

import json
from typing import Any

import openai
import pytest

from tests.integration.sandbox.sdk import openai_client, user
from tests.integration.sandbox_fixture import RunningSandbox

MODEL = "gpt-4o-mini"


def function(name: str, **properties: Any) -> Any:
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}


WEATHER = function("get_weather", city={"type": "string"}, unit={"type": "string", "enum": ["celsius", "fahrenheit"]})
TIMER = function("set_timer", minutes={"type": "integer"})
NOTHING: Any = {"type": "function", "function": {"name": "hang_up"}}
QUESTION = "What is the weather in Paris, in celsius?"


async def test_a_function_that_is_asked_for_is_called(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        completion = await client.chat.completions.create(model=MODEL, messages=user(QUESTION), tools=[TIMER, WEATHER])
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert call.id.startswith("call_")
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris", "unit": "celsius"}


async def test_a_question_that_asks_for_none_is_answered_in_words(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        for choice in ("auto", "none"):
            question = "What is the capital of France?" if choice == "auto" else QUESTION
            completion = await client.chat.completions.create(
                model=MODEL, messages=user(question), tools=[WEATHER], tool_choice=choice
            )
            assert completion.choices[0].finish_reason == "stop"
            assert completion.choices[0].message.content
            assert completion.choices[0].message.tool_calls is None


async def test_calls_stream_as_the_vendor_streams_them(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        stream = await client.chat.completions.create(
            model=MODEL,
            messages=user(QUESTION + " And set a timer for 5 minutes."),
            tools=[WEATHER, TIMER],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    first, *middle, finish, usage = chunks
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", None)
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for chunk in middle:
        (delta,) = chunk.choices[0].delta.tool_calls or []
        assert delta.function is not None
        if delta.id:
            assert delta.index == len(names)
            names[delta.index] = delta.function.name or ""
        arguments[delta.index] = arguments.get(delta.index, "") + (delta.function.arguments or "")
    assert names == {0: "get_weather", 1: "set_timer"}
    assert json.loads(arguments[0])["city"] == "Paris"
    assert json.loads(arguments[1]) == {"minutes": 5}
    assert finish.choices[0].finish_reason == "tool_calls"
    assert usage.usage is not None
    assert usage.usage.completion_tokens > 0


async def test_the_sdks_own_stream_helper_assembles_the_call(sandbox: RunningSandbox) -> None:
    async with (
        openai_client(sandbox) as client,
        client.chat.completions.stream(model=MODEL, messages=user(QUESTION), tools=[WEATHER]) as stream,
    ):
        async for _ in stream:
            pass
        completion = await stream.get_final_completion()
    assert completion.choices[0].message.tool_calls is not None
    assert completion.choices[0].message.tool_calls[0].function.name == "get_weather"


async def test_forced_calls(sandbox: RunningSandbox) -> None:
    named = {"type": "function", "function": {"name": "set_timer"}}
    cases: list[Any] = [(named, "set_timer", "stop"), ("required", "get_weather", "tool_calls")]
    async with openai_client(sandbox) as client:
        for choice, name, reason in cases:
            completion = await client.chat.completions.create(
                model=MODEL, messages=user("Hello!"), tools=[WEATHER, TIMER], tool_choice=choice
            )
            calls = completion.choices[0].message.tool_calls
            assert calls is not None
            assert [call.function.name for call in calls if call.type == "function"] == [name]
            assert completion.choices[0].finish_reason == reason


async def test_one_call_at_a_time_on_request(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        completion = await client.chat.completions.create(
            model=MODEL,
            messages=user("Get the weather and set a timer for 3 minutes."),
            tools=[WEATHER, TIMER],
            parallel_tool_calls=False,
        )
    assert len(completion.choices[0].message.tool_calls or []) == 1


async def test_a_function_without_parameters_has_no_arguments(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        completion = await client.chat.completions.create(
            model=MODEL, messages=user("Please hang up."), tools=[NOTHING]
        )
    (call,) = completion.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.arguments == "{}"


async def test_a_tools_result_is_what_the_reply_says(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        asked = await client.chat.completions.create(model=MODEL, messages=user(QUESTION), tools=[WEATHER])
        message = asked.choices[0].message
        assert message.tool_calls is not None
        messages: list[Any] = [
            *user(QUESTION),
            message,
            {
                "role": "tool",
                "tool_call_id": message.tool_calls[0].id,
                "content": json.dumps({"temperature": 18.5, "sky": "partly cloudy"}),
            },
        ]
        completion = await client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])
        stream = await client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER], stream=True)
        streamed = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert completion.choices[0].message.content == "The temperature is 18.5, and the sky is partly cloudy."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.completion_tokens > 8
    assert "".join(streamed) == completion.choices[0].message.content
    assert len(streamed) > 8


async def test_a_call_that_hits_the_token_limit_says_so(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        completion = await client.chat.completions.create(
            model=MODEL, messages=user(QUESTION), tools=[WEATHER], max_tokens=3
        )
    assert completion.choices[0].finish_reason == "length"


async def test_json_replies_are_json(sandbox: RunningSandbox) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 30}, "age": {"type": "integer", "maximum": 120}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    async with openai_client(sandbox) as client:
        anything = await client.chat.completions.create(
            model=MODEL,
            messages=user("Who are you? Answer in JSON."),
            response_format={"type": "json_object"},
            max_tokens=60,
        )
        exact = await client.chat.completions.create(
            model=MODEL,
            messages=user("Who are you?"),
            response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": schema}},
        )
    if anything.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(anything.choices[0].message.content or ""), dict)
    person = json.loads(exact.choices[0].message.content or "")
    assert isinstance(person["name"], str)
    assert 0 <= person["age"] <= 120


async def test_a_seed_draws_the_same_words_again(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        texts = []
        for seed in (7, 7, 8):
            completion = await client.chat.completions.create(
                model=MODEL, messages=user("Tell me about the sea."), seed=seed, temperature=1.2, max_tokens=16
            )
            texts.append(completion.choices[0].message.content)
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


@pytest.mark.parametrize(
    ("request_fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"temperature": 2.5}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": []}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "messages"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"modalities": ["audio"]}, "modalities"),
    ],
)
async def test_what_is_not_served_is_refused_by_name(
    sandbox: RunningSandbox, request_fields: dict[str, Any], param: str
) -> None:
    async with openai_client(sandbox) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model=MODEL, messages=user("Hi"), **request_fields)
    assert caught.value.param == param


async def test_a_schema_that_is_none_is_refused(sandbox: RunningSandbox) -> None:
    broken = function("get_weather", city={"type": "nonsense"})
    async with openai_client(sandbox) as client:
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError) as caught:
                await client.chat.completions.create(
                    model=MODEL, messages=user(QUESTION), tools=[broken], stream=stream
                )
            assert caught.value.code == "invalid_function_parameters"


async def test_results_must_answer_calls(sandbox: RunningSandbox) -> None:
    result: Any = {"role": "tool", "tool_call_id": "call_x", "content": "18"}
    call: Any = {
        "role": "assistant",
        "tool_calls": [{"id": "call_y", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    async with openai_client(sandbox) as client:
        for messages in ([*user("Hi"), result], [*user("Hi"), call], [*user("Hi"), call, *user("Well?")]):
            with pytest.raises(openai.BadRequestError, match="tool_call"):
                await client.chat.completions.create(model=MODEL, messages=messages)
