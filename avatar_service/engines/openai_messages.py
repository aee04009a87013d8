"""A conversation and its tools as OpenAI's chat completions API takes them, and the calls as it streams them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from openai.types.chat import (
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageFunctionToolCallParam,
    ChatCompletionMessageParam,
)

from avatar_service.engines.base import Message, Tool
from avatar_service.engines.openai_answers import CallPiece, mended
from avatar_service.media.types import ToolCall

CALLS = 64
"""Calls that one reply may hold."""
ARGUMENTS_CHARACTERS = 64_000
"""What the arguments of one reply may hold together, far above what the longest reply has."""
WHOLE = ("tool_calls", "stop", "function_call")
"""Finish reasons of a reply whose calls are whole; a forced call ends with `stop`."""


class BrokenCalls(Exception):
    """The calls of a reply cannot be passed on; its text says why."""


@dataclass(slots=True)
class _Call:
    tool_call_id: str = ""
    name: str = ""
    arguments_json: str = ""


class StreamedCalls:
    """Puts the calls of one reply together, whose arguments come in pieces."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._names = {tool.name for tool in tools}
        self._calls: dict[int, _Call] = {}
        self._characters = 0

    def add(self, pieces: Sequence[CallPiece]) -> None:
        """Take in what one chunk holds of them. Raises BrokenCalls if it is too much."""
        for piece in pieces:
            call = self._calls.setdefault(self._index(piece), _Call())
            call.tool_call_id = call.tool_call_id or piece.id or ""
            if piece.function:
                call.name = call.name or piece.function.name or ""
                arguments = piece.function.arguments or ""
                call.arguments_json += arguments
                self._characters += len(arguments)
        if len(self._calls) > CALLS or self._characters > ARGUMENTS_CHARACTERS:
            raise BrokenCalls("the reply holds too many tool calls")

    def whole(self, finish_reason: str) -> tuple[ToolCall, ...]:
        """All calls in the model's order. Raises BrokenCalls if they cannot be passed on: they were cut, name a tool
        that was not given, or have arguments that are no JSON object.

        Whether the arguments fit the tool's schema is the client's to check.
        """
        if self._calls and finish_reason not in WHOLE:
            raise BrokenCalls("the reply ended within a tool call")
        return tuple(self._whole(call) for _, call in sorted(self._calls.items()))

    def _index(self, piece: CallPiece) -> int:
        """Of which call a piece is; servers that leave the number out begin each call with its id."""
        if piece.index is not None:
            return piece.index
        return len(self._calls) - (0 if piece.id or not self._calls else 1)

    def _whole(self, call: _Call) -> ToolCall:
        if call.name not in self._names:
            raise BrokenCalls("the reply calls a tool that was not given")
        arguments = mended(call.arguments_json.strip()) or "{}"
        try:
            is_object = isinstance(json.loads(arguments), dict)
        except (ValueError, RecursionError):
            is_object = False
        if not is_object:
            raise BrokenCalls("the arguments of a tool call are no JSON object")
        return ToolCall(mended(call.tool_call_id), call.name, arguments)


def message_param(message: Message) -> ChatCompletionMessageParam:
    """One entry of the conversation."""
    match message.role:
        case "system":
            return {"role": "system", "content": message.text}
        case "user":
            return {"role": "user", "content": message.text}
        case "tool":
            return {"role": "tool", "content": message.text, "tool_call_id": message.tool_call_id}
        case "assistant" if message.tool_calls:
            calls = [_call_param(call) for call in message.tool_calls]
            return {"role": "assistant", "content": message.text or None, "tool_calls": calls}
        case _:
            return {"role": "assistant", "content": message.text}


def tool_param(tool: Tool) -> ChatCompletionFunctionToolParam:
    """One function; without a schema it takes no arguments."""
    param: ChatCompletionFunctionToolParam = {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description},
    }
    if tool.parameters_json:
        param["function"]["parameters"] = json.loads(tool.parameters_json)
    return param


def _call_param(call: ToolCall) -> ChatCompletionMessageFunctionToolCallParam:
    return {
        "id": call.tool_call_id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments_json},
    }
