"""Which of a request's functions is called.

A small model cannot choose, so a rule does: a function is asked for when the last user message holds its name, or all
words of its name but leading verbs and small words: ``get_current_weather`` by "weather", ``set_timer`` by "timer",
``bookTable`` by "table". Plural and other short endings are ignored. With ``tool_choice`` "required" and no function
asked for, the first one is called; a named function is called in any case. After a tool's result the reply is text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from avatar_service.sandbox.errors import VendorError, openai_error

MAX_TOOLS: Final = 128
MAX_SCHEMA_DEPTH: Final = 24
MAX_SCHEMA_BYTES: Final = 16 * 1024

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NAME_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_MESSAGE_WORDS: Final = re.compile(r"\w+")
_VERBS: Final = frozenset(
    "add ask book call change check compute create delete do fetch find get give list load look lookup make open play "
    "query read remove run search send set show start stop tell turn update use write".split()
)
_SMALL_WORDS: Final = frozenset(
    "a all an and at by current currently for from in into is my new of off on or out the this to up with".split()
)
_ENDINGS: Final = ("ing", "es", "s")
_MIN_STEM: Final = 3


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that may be called; ``parameters`` is a JSON schema of an object, empty for none."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """``none``, ``auto`` or ``required``; or ``function``, which is called in any case."""

    kind: Literal["none", "auto", "required", "function"]
    function: str = ""


def parse_tools(given: Any) -> tuple[Tool, ...]:
    """Return the functions of a request's ``tools``."""
    if given is None:
        return ()
    if not isinstance(given, list) or not given or len(given) > MAX_TOOLS:
        raise _invalid("tools", f"expected an array of 1 to {MAX_TOOLS} tools")
    return tuple(_tool(tool, f"tools[{number}]") for number, tool in enumerate(given))


def parse_choice(given: Any, tools: Sequence[Tool]) -> ToolChoice:
    """Return a request's ``tool_choice``."""
    if given is None:
        return ToolChoice("auto" if tools else "none")
    if not tools:
        raise openai_error(400, None, "'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    match given:
        case "none" | "auto" | "required":
            return ToolChoice(given)
        case {"type": "function", "function": {"name": str(name)}}:
            if name not in {tool.name for tool in tools}:
                message = f"Tool choice 'function' '{name[:64]}' not found in 'tools' parameter."
                raise openai_error(400, None, message, "tool_choice")
            return ToolChoice("function", name)
    raise _invalid("tool_choice", "this sandbox serves 'none', 'auto', 'required' and a function's name")


def called_tools(
    tools: Sequence[Tool], choice: ToolChoice, question: str, *, answers_tool: bool, parallel: bool
) -> list[Tool]:
    """Return the functions that the reply calls; none if it is text.

    ``question`` is the last user message, ``answers_tool`` whether a tool's result follows it.
    """
    if choice.kind == "none":
        return []
    if choice.kind == "function":
        return [tool for tool in tools if tool.name == choice.function]
    if answers_tool:
        return []
    asked = [tool for tool in tools if is_asked_for(tool.name, question)]
    if choice.kind == "required" and not asked:
        asked = list(tools[:1])
    return asked if parallel else asked[:1]


def is_asked_for(name: str, question: str) -> bool:
    """Return whether a message plainly asks for the function of that name."""
    if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", question):
        return True
    words = [word.lower() for word in _NAME_WORDS.findall(name)]
    telling = [word for word in words if word not in _SMALL_WORDS]
    if len(telling) > 1 and telling[0] in _VERBS:
        del telling[0]
    said = {_stem(word) for word in _MESSAGE_WORDS.findall(question.lower())}
    return bool(telling) and all(_stem(word) in said for word in telling)


def _stem(word: str) -> str:
    """Return a word without a short ending, so that "timers" is "timer"."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _MIN_STEM:
            return word.removesuffix(ending)
    return word


def _tool(given: Any, where: str) -> Tool:
    if not isinstance(given, dict) or given.get("type") != "function" or not isinstance(given.get("function"), dict):
        raise _invalid(where, "this sandbox serves tools of type 'function'")
    function = given["function"]
    name, parameters = function.get("name"), function.get("parameters")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _invalid(f"{where}.function.name", "expected letters, digits, '_' and '-', at most 64")
    return Tool(name, check_schema(parameters, f"{where}.function.parameters") if parameters else {})


def check_schema(schema: Any, where: str) -> Mapping[str, Any]:
    """Return a JSON schema of an object; refuses one that the grammar of llama.cpp could not take."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        message = f"Invalid schema for '{where}': schema must be a JSON Schema of 'type: \"object\"'."
        raise openai_error(400, "invalid_function_parameters", message, where)
    if len(repr(schema)) > MAX_SCHEMA_BYTES or _depth(schema) > MAX_SCHEMA_DEPTH:
        message = (
            f"Invalid schema for '{where}': this sandbox serves {MAX_SCHEMA_BYTES} bytes and {MAX_SCHEMA_DEPTH} levels."
        )
        raise openai_error(400, "invalid_function_parameters", message, where)
    return schema


def _depth(schema: Any) -> int:
    """Return how deep objects and arrays are nested, at most one more than allowed."""
    depth, level = 0, [schema]
    while level and depth <= MAX_SCHEMA_DEPTH:
        children = [list(value.values()) if isinstance(value, dict) else value for value in level]
        level = [item for items in children if isinstance(items, list) for item in items]
        depth += 1
    return depth


def _invalid(param: str, what: str) -> VendorError:
    return openai_error(400, "invalid_value", f"Invalid value for '{param}': {what}.", param)
