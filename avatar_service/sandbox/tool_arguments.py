"""How the arguments of a function are found: the model copies them from the conversation under a grammar.

The grammar makes them valid against the function's schema. Where the last user message names a value of an
enumeration, or numbers for a number, the grammar allows nothing else. Within that the small model copies what it
takes for the right words: one field it mostly finds, several it often mixes up.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from avatar_service.sandbox.chat_tools import Tool

_NUMBER: Final = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)")
_NUMBER_WORDS: Final = "zero one two three four five six seven eight nine ten eleven twelve".split()

_INSTRUCTION: Final = "Copy the words of the request that belong to each field."
_EXAMPLES: Final = (
    ("What is the weather in Tokyo today?", "get_weather", {"city": "Tokyo"}),
    ("Please tell Anna that I am late.", "send_message", {"recipient": "Anna", "text": "I am late"}),
    ("Set a timer for 5 minutes.", "set_timer", {"minutes": 5}),
    ("Search for good restaurants nearby.", "search", {"query": "good restaurants nearby"}),
)


def argument_messages(tool: Tool, question: str) -> list[dict[str, str]]:
    """Return the conversation after which the model writes the arguments."""
    messages = [{"role": "system", "content": _INSTRUCTION}]
    for request, name, arguments in _EXAMPLES:
        messages.append({"role": "user", "content": _request(request, name, list(arguments))})
        messages.append({"role": "assistant", "content": json.dumps(arguments)})
    return [*messages, {"role": "user", "content": _request(question, tool.name, list(_fields(tool.parameters)))}]


def narrowed(schema: Mapping[str, Any], question: str) -> dict[str, Any]:
    """Return an object's schema that allows only what the question names, where it names something."""
    fields = {name: _narrowed(field, question) for name, field in _fields(schema).items()}
    return {**schema, "properties": fields} if fields else dict(schema)


def _narrowed(field: Any, question: str) -> Any:
    if not isinstance(field, dict):
        return field
    if isinstance(field.get("enum"), list):
        named = [value for value in field["enum"] if _is_named(value, question)]
        return {**field, "enum": named} if named else field
    if field.get("type") in ("integer", "number"):
        numbers = _numbers(question, whole=field["type"] == "integer")
        allowed = [number for number in numbers if _is_in_range(number, field)]
        return {"enum": allowed} if allowed else field
    return field


def _fields(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    fields = schema.get("properties")
    return fields if isinstance(fields, dict) else {}


def _is_named(value: Any, question: str) -> bool:
    return isinstance(value, str) and bool(re.search(rf"(?<!\w){re.escape(value)}(?!\w)", question, re.IGNORECASE))


def _numbers(question: str, *, whole: bool) -> list[float | int]:
    """Return the numbers that a text names, in digits or words, each once."""
    found: list[float | int] = [float(digits) for digits in _NUMBER.findall(question)]
    found += [_NUMBER_WORDS.index(word) for word in re.findall(r"[a-z]+", question.lower()) if word in _NUMBER_WORDS]
    numbers = [int(number) if number == int(number) else number for number in found]
    return list(dict.fromkeys(number for number in numbers if not whole or isinstance(number, int)))


def _is_in_range(number: float, field: Mapping[str, Any]) -> bool:
    least, most = field.get("minimum", number), field.get("maximum", number)
    return isinstance(least, int | float) and isinstance(most, int | float) and least <= number <= most


def _request(question: str, name: str, fields: list[str]) -> str:
    return f"{question}\nFields of {name}: {', '.join(fields)}"
