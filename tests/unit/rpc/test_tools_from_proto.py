"""The tools of a conversation, as clients give them."""

import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from avatar.v1 import Tool as WireTool
from avatar.v1 import ToolConfig
from avatar_service.engines.base import Tool
from avatar_service.errors import InvalidArgument
from avatar_service.rpc.tools_from_proto import tool_timeout_s, tools_from

SCHEMA = '{"type": "object", "properties": {"city": {"type": "string"}}}'


def tool(**changes: Any) -> WireTool:
    fields: dict[str, Any] = {"name": "get_weather", "description": "Tells the weather."}
    return WireTool(**(fields | changes))


def nested(levels: int) -> str:
    """A schema of so many levels."""
    schema: dict[str, Any] = {}
    for _ in range(levels - 1):
        schema = {"items": schema}
    return json.dumps(schema | {"type": "object"})


def test_tools_are_passed_on_as_they_are() -> None:
    asked = ToolConfig(tools=[tool(parameters_json=SCHEMA), tool(name="Hang-up_2")])
    assert tools_from(asked, "config.tools") == (
        Tool("get_weather", "Tells the weather.", SCHEMA),
        Tool("Hang-up_2", "Tells the weather.", ""),
    )


def test_what_is_at_its_limit_passes() -> None:
    longest = tool(name="n" * 64, description="d" * 1_024, parameters_json=SCHEMA.ljust(8_192))
    assert len(tools_from(ToolConfig(tools=[longest, tool(parameters_json=nested(24))]), "config.tools")) == 2
    assert len(tools_from(ToolConfig(tools=[tool(name=f"t{n}") for n in range(64)]), "config.tools")) == 64


@pytest.mark.parametrize(
    ("tools", "field", "words"),
    [
        ([tool(name=f"t{n}") for n in range(65)], "tools", ["65", "64"]),
        ([tool(name="")], "tools[0].name", ["1 to 64"]),
        ([tool(name="n" * 65)], "tools[0].name", ["64"]),
        ([tool(name="get weather")], "tools[0].name", ["letters"]),
        ([tool(name="wétter")], "tools[0].name", ["letters"]),
        ([tool(name="get_weather\n")], "tools[0].name", ["letters"]),
        ([tool(), tool()], "tools[1].name", ["get_weather", "another"]),
        ([tool(description=" ")], "tools[0].description", ["empty"]),
        ([tool(description="d" * 1_025)], "tools[0].description", ["1,025", "1,024"]),
        ([tool(parameters_json=SCHEMA.ljust(8_193))], "tools[0].parameters_json", ["8,193 bytes", "8,192"]),
        ([tool(parameters_json='{"é": 1}'.ljust(8_192))], "tools[0].parameters_json", ["8,193 bytes"]),
        ([tool(parameters_json="{")], "tools[0].parameters_json", ["no JSON"]),
        ([tool(parameters_json='{"type": "object", "x": NaN}')], "tools[0].parameters_json", ["no JSON", "NaN"]),
        ([tool(parameters_json='{"type": "object", "x": 1e999}')], "tools[0].parameters_json", ["no JSON"]),
        ([tool(parameters_json='{"type": "object", "x": "\\ud800"}')], "tools[0].parameters_json", ["no JSON"]),
        ([tool(parameters_json="[" * 8_000)], "tools[0].parameters_json", ["no JSON"]),
        ([tool(parameters_json="[]")], "tools[0].parameters_json", ["schema of an object"]),
        ([tool(parameters_json='{"type": "string"}')], "tools[0].parameters_json", ["schema of an object"]),
        ([tool(parameters_json="{}")], "tools[0].parameters_json", ["schema of an object"]),
        ([tool(parameters_json=nested(25))], "tools[0].parameters_json", ["24 levels"]),
    ],
)
def test_a_wrong_tool_is_named_with_its_limit(tools: list[WireTool], field: str, words: list[str]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        tools_from(ToolConfig(tools=tools), "config.tools")
    assert refused.value.field == f"config.tools.{field}"
    for word in words:
        assert word in str(refused.value)


def test_results_are_awaited_for_15_s_unless_told_otherwise() -> None:
    assert tool_timeout_s(ToolConfig(), "config.tools") == 15.0
    assert tool_timeout_s(ToolConfig(timeout=Duration(seconds=120)), "config.tools") == 120.0


@pytest.mark.parametrize("timeout", [Duration(), Duration(nanos=999_999_999), Duration(seconds=121)])
def test_but_neither_for_ever_nor_not_at_all(timeout: Duration) -> None:
    with pytest.raises(InvalidArgument, match=r"^config.tools.timeout: .*1 to 120 s"):
        tool_timeout_s(ToolConfig(timeout=timeout), "config.tools")
