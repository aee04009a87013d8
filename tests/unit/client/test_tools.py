"""Tools of the program's own: they are declared, run when the chat model calls them, and their results are sent."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from avatar import v1
from avatar.v1 import ConverseResponse
from avatar_client import AsyncAvatarClient, AvatarClient, ConfigUpdated, Tool, ToolCalls
from tests.unit.client.scripted_service import Stream, serving
from tests.unit.client.server_thread import server

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


async def get_weather(city: str) -> dict[str, Any]:
    """An asynchronous tool."""
    return {"city": city, "celsius": 21}


def add(left: int, right: int) -> str:
    """A tool that blocks."""
    time.sleep(0.01)
    return str(left + right)


async def fail() -> None:
    raise LookupError("no such city")


async def hang() -> None:
    await asyncio.Event().wait()


TOOLS = {
    "get_weather": Tool(get_weather, "Tells the weather in a city.", CITY),
    "add": Tool(add, "Adds."),
    "fail": Tool(fail, "Fails."),
    "long": Tool(lambda: "x" * 40_000, "Says much."),
    "hang": Tool(hang, "Takes its time."),
}


def call(tool_call_id: str, name: str, arguments_json: str = "") -> v1.ToolCall:
    return v1.ToolCall(tool_call_id=tool_call_id, name=name, arguments_json=arguments_json)


def asks(*calls: v1.ToolCall) -> ConverseResponse:
    return ConverseResponse(tool_calls=v1.ToolCalls(turn_id=1, calls=calls))


def results(*calls: v1.ToolCall, timeout_s: float = 0.0, cancels: str = "") -> dict[str, tuple[str, bool]]:
    """What the service gets for these calls: the output, and whether it is a failure."""
    answered: dict[str, tuple[str, bool]] = {}

    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.send(asks(*calls))
        if cancels:
            cancelled = v1.ToolCallsCancelled(turn_id=1, tool_call_ids=[cancels])
            await stream.send(ConverseResponse(tool_calls_cancelled=cancelled))
        for _ in range(len(calls) - bool(cancels)):
            for result in (await stream.until("tool_results")).tool_results.results:
                answered[result.tool_call_id] = (result.output, result.failed)

    async def scenario() -> None:
        config = v1.ConverseConfig()
        config.tools.timeout.FromNanoseconds(int(timeout_s * 1e9))
        async with (
            serving(script) as address,
            AsyncAvatarClient(address) as client,
            client.converse(config, tools=TOOLS) as conversation,
        ):
            first, *_ = [type(event) async for event in conversation]
            assert first is ToolCalls

    asyncio.run(scenario())
    return answered


def test_tools_are_declared_with_their_schemas() -> None:
    declared: list[v1.ToolConfig] = []

    async def script(stream: Stream) -> None:
        await stream.start()
        declared.append(stream.received[0].config.tools)

    async def scenario() -> None:
        config = v1.ConverseConfig(tools=v1.ToolConfig(tools=[v1.Tool(name="mine", description="Served by hand.")]))
        async with (
            serving(script) as address,
            AsyncAvatarClient(address) as client,
            client.converse(config, tools=TOOLS) as conversation,
        ):
            assert [event async for event in conversation] == []

    asyncio.run(scenario())
    assert [tool.name for tool in declared[0].tools] == ["mine", *TOOLS]
    assert json.loads(declared[0].tools[1].parameters_json) == CITY
    assert declared[0].tools[2].parameters_json == ""
    assert declared[0].tools[1].description == "Tells the weather in a city."


def test_calls_are_run_and_their_results_sent() -> None:
    answered = results(
        call("c1", "get_weather", '{"city": "Rome"}'), call("c2", "add", '{"left": 2, "right": 3}'), call("c3", "hang"),
        cancels="c3",
    )  # fmt: skip
    assert json.loads(answered["c1"][0]) == {"city": "Rome", "celsius": 21}
    assert answered["c2"] == ("5", False)
    assert "c3" not in answered, "a cancelled call is not answered"


@pytest.mark.parametrize(
    ("asked", "output"),
    [
        (call("c", "fail"), "LookupError: no such city"),
        (call("c", "unknown"), "LookupError: there is no tool unknown"),
        (call("c", "get_weather", "not json"), "JSONDecodeError: "),
        (call("c", "get_weather", "[1]"), "TypeError: the arguments are no JSON object"),
        (call("c", "get_weather", '{"town": "Rome"}'), "TypeError: get_weather() got an unexpected keyword argument"),
        (call("c", "long"), "the result of long has 40000 bytes; 32000 are the limit"),
    ],
    ids=lambda value: value.name if isinstance(value, v1.ToolCall) else "",
)
def test_a_call_that_fails_is_told_as_failed(asked: v1.ToolCall, output: str) -> None:
    ((told, failed),) = results(asked).values()
    assert (told.startswith(output), failed) == (True, True), told


def test_a_call_that_takes_too_long_is_told_as_failed_before_the_service_gives_up() -> None:
    assert results(call("c", "hang"), timeout_s=1.0) == {"c": ("hang did not return within 0.5 s", True)}


def test_what_is_no_tool_is_a_mistake_in_the_program() -> None:
    tools: Mapping[str, Any] = {"add": add}
    with pytest.raises(ValueError, match=r"tools\['add'\]: function is no Tool"):
        AsyncAvatarClient().converse(tools=tools)


def test_calls_that_run_when_the_stream_is_left_end_with_it() -> None:
    stopped = asyncio.Event()

    async def until_stopped() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.send(asks(call("c", "hang")))
        await stream.until_half_close()

    async def scenario() -> None:
        tools = {"hang": Tool(until_stopped, "")}
        async with serving(script) as address, AsyncAvatarClient(address) as client:
            async with client.converse(tools=tools) as conversation:
                await anext(aiter(conversation))
                await asyncio.sleep(0.01)
            assert stopped.is_set()

    asyncio.run(scenario())


def test_an_update_takes_effect_when_the_service_says_so_and_may_bring_other_tools() -> None:
    updates: list[v1.ConfigUpdate] = []
    answered: list[str] = []

    async def script(stream: Stream) -> None:
        await stream.start()
        updates.append((await stream.until("config_update")).config_update)
        config = v1.ConverseConfig(system_prompt=updates[0].system_prompt, tools=updates[0].tools)
        await stream.send(ConverseResponse(config_updated=v1.ConfigUpdated(config=config)))
        await stream.send(asks(call("c1", "shout")))
        answered.append((await stream.until("tool_results")).tool_results.results[0].output)

    def shout() -> str:
        return "HEY"

    with (
        server(script) as address,
        AvatarClient(address) as client,
        client.converse(system_prompt="Be kind.", tools=TOOLS) as conversation,
    ):
        conversation.update(
            v1.ConfigUpdate(chat=v1.ChatConfig(max_output_tokens=50)),
            avatar="bob", voice="amy", system_prompt="Be brief.", tools={"shout": Tool(shout, "Shouts.")},
        )  # fmt: skip
        for event in conversation:
            if isinstance(event, ConfigUpdated):
                assert conversation.started.config.system_prompt == "Be brief."
    (update,) = updates
    assert (update.avatar, update.voice.voice, update.chat.max_output_tokens) == ("avatars/bob", "voices/amy", 50)
    assert [tool.name for tool in update.tools.tools] == ["shout"]
    assert answered == ["HEY"]


def test_what_is_not_given_is_not_updated() -> None:
    updates: list[v1.ConfigUpdate] = []

    async def script(stream: Stream) -> None:
        await stream.start()
        updates.extend([(await stream.until("config_update")).config_update for _ in range(2)])

    with server(script) as address, AvatarClient(address) as client, client.converse() as conversation:
        conversation.update(voice="amy")
        conversation.update(tools={})
        list(conversation)
    assert [field.name for field, _ in updates[0].ListFields()] == ["voice"]
    assert [field.name for field, _ in updates[1].ListFields()] == ["tools"]
    assert not updates[1].tools.tools
