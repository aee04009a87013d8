"""The tools of a conversation, checked before the chat model is told of them."""

import json
import re
from collections.abc import Iterator
from typing import Any

from avatar.v1 import Tool as WireTool
from avatar.v1 import ToolConfig
from avatar_service.engines.base import Tool
from avatar_service.errors import InvalidArgument
from avatar_service.rpc.checks import at_most, at_most_bytes, given_s

TOOLS = 64
DESCRIPTION_CHARACTERS = 1_024
PARAMETERS_BYTES = 8_192
PARAMETERS_LEVELS = 24
"""How deep a schema may be nested; vendors allow about 10 levels."""
DEFAULT_TIMEOUT_S = 15.0
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def tools_from(asked: ToolConfig, path: str) -> tuple[Tool, ...]:
    """The tools that are asked for. Raises InvalidArgument."""
    if len(asked.tools) > TOOLS:
        raise InvalidArgument(f"{path}.tools", f"has {len(asked.tools)} tools; give at most {TOOLS}")
    return tuple(_tools(asked, path))


def tool_timeout_s(asked: ToolConfig, path: str) -> float:
    """How long the results of tools are awaited. Raises InvalidArgument if it is out of range."""
    return given_s(asked, "timeout", path, DEFAULT_TIMEOUT_S, 1.0, 120.0)


def _tools(asked: ToolConfig, path: str) -> Iterator[Tool]:
    names = set[str]()
    for index, tool in enumerate(asked.tools):
        field = f"{path}.tools[{index}]"
        _check(tool, field)
        if tool.name in names:
            raise InvalidArgument(f"{field}.name", f"`{tool.name}` is the name of another tool; give each its own")
        names.add(tool.name)
        yield Tool(tool.name, tool.description, tool.parameters_json)


def _check(tool: WireTool, field: str) -> None:
    if not _NAME.fullmatch(tool.name):
        raise InvalidArgument(f"{field}.name", "is no name; give 1 to 64 of the letters A-Z and a-z, digits, `_`, `-`")
    at_most(f"{field}.description", tool.description, DESCRIPTION_CHARACTERS)
    if not tool.description.strip():
        raise InvalidArgument(f"{field}.description", "is empty; say what the tool does and when to call it")
    at_most_bytes(f"{field}.parameters_json", tool.parameters_json, PARAMETERS_BYTES)
    if tool.parameters_json:
        _check_schema(tool.parameters_json, f"{field}.parameters_json")


def _check_schema(text: str, field: str) -> None:
    try:
        schema: Any = json.loads(text, parse_constant=_no_number)
        # What is written to the vendor: half a surrogate pair and 1e999 can be read, and cannot be written.
        json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(field, f"is no JSON ({error}); give a JSON Schema, or leave it out") from None
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise InvalidArgument(field, 'is no schema of an object; give {"type": "object", "properties": ...}')
    if _levels(schema) > PARAMETERS_LEVELS:
        raise InvalidArgument(field, f"is nested deeper than {PARAMETERS_LEVELS} levels; make it flatter")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _levels(value: Any) -> int:
    """How deep objects and arrays are nested, at most one more than is allowed."""
    levels, containers = 0, [value]
    while containers and levels <= PARAMETERS_LEVELS:
        levels += 1
        inner = (item for held in containers for item in (held.values() if isinstance(held, dict) else held))
        containers = [item for item in inner if isinstance(item, dict | list)]
    return levels
