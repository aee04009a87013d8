"""Tools: functions of the program's own that the chat model may call, run beside the conversation."""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from avatar import v1
from avatar_client.errors import AvatarClientError
from avatar_client.events import Event, ToolCalls, ToolCallsCancelled
from avatar_client.facts import ToolCall

MOST_RUNNING: Final = 8
"""Calls that run at a time; more wait."""
MOST_OUTPUT_BYTES: Final = 32_000  # the contract's limit
DEFAULT_TIMEOUT_S: Final = 15.0  # the contract's default
MARGIN_S: Final = 0.5
"""A result leaves so much before the service stops waiting for it."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the chat model may call, with keyword arguments.

    `function` may be `async`; another one runs in a thread. A `str` that it returns is the result as it stands,
    anything else is written as JSON; an exception makes the call a failed one, whose result is the exception's text.
    `description` tells the model what it does and when to call it (1,024 characters). `parameters` is the JSON Schema
    of the arguments, an object; without it there are none.
    """

    function: Callable[..., Any]
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


def tool_config(tools: Mapping[str, Tool], config: v1.ToolConfig | None = None) -> v1.ToolConfig:
    """The contract's account of `tools`, added to `config`. Raises ValueError for what is no Tool."""
    told = v1.ToolConfig()
    if config:
        told.CopyFrom(config)
    for name, tool in tools.items():
        if not isinstance(tool, Tool):
            raise ValueError(
                f"tools[{name!r}]: {type(tool).__name__} is no Tool; give Tool(function, description, ...)"
            )
        parameters = json.dumps(tool.parameters) if tool.parameters else ""
        told.tools.append(v1.Tool(name=name, description=tool.description, parameters_json=parameters))
    return told


class ToolRunner:
    """Runs the calls that come, each within its time limit, and sends what they return."""

    def __init__(self, tools: Mapping[str, Tool], send: Callable[[v1.ToolResult], Awaitable[None]]) -> None:
        """Serve `tools` by name; `send` takes each result."""
        self.tools = dict(tools)
        self.timeout_s = DEFAULT_TIMEOUT_S
        self._send = send
        self._places = asyncio.Semaphore(MOST_RUNNING)
        self._running: dict[str, asyncio.Task[None]] = {}

    def note(self, event: Event, tasks: asyncio.TaskGroup) -> None:
        """Start the calls that an event asks for, as tasks of `tasks`, and stop those that it cancels."""
        match event:
            case ToolCalls(calls=calls) if self.tools:
                for call in calls:
                    task = tasks.create_task(self._serve(call), name=f"tool {call.name}")
                    self._running[call.tool_call_id] = task
                    task.add_done_callback(partial(self._forget, call.tool_call_id))
            case ToolCallsCancelled(tool_call_ids=ids):
                for task in filter(None, map(self._running.get, ids)):
                    task.cancel()

    def stop(self) -> None:
        """Stop all calls."""
        for task in self._running.values():
            task.cancel()

    async def _serve(self, call: ToolCall) -> None:
        """Run one call and send its result; a stream that is over wants none."""
        try:
            output, failed = await self._run(call)
            await self._send(v1.ToolResult(tool_call_id=call.tool_call_id, output=output, failed=failed))
        except AvatarClientError:
            return  # iterating over the stream tells why it is over

    def _forget(self, tool_call_id: str, _: "asyncio.Task[None]") -> None:
        self._running.pop(tool_call_id, None)

    async def _run(self, call: ToolCall) -> tuple[str, bool]:
        """The result of a call, and whether that is an account of a failure."""
        timeout_s = max(MARGIN_S, self.timeout_s - MARGIN_S)
        try:
            async with asyncio.timeout(timeout_s) as limit, self._places:
                output = _as_text(await self._call(call))
        except Exception as error:  # the program's own function may raise anything
            if limit.expired():
                return f"{call.name} did not return within {timeout_s:g} s", True
            return f"{type(error).__name__}: {error}"[:1_000], True
        size = len(output.encode())
        if size > MOST_OUTPUT_BYTES:
            return f"the result of {call.name} has {size} bytes; {MOST_OUTPUT_BYTES} are the limit", True
        return output, False

    async def _call(self, call: ToolCall) -> Any:
        tool = self.tools.get(call.name)
        if tool is None:
            raise LookupError(f"there is no tool {call.name}")
        arguments = json.loads(call.arguments_json or "{}")
        if not isinstance(arguments, dict):
            raise TypeError("the arguments are no JSON object")
        if inspect.iscoroutinefunction(tool.function):
            return await tool.function(**arguments)
        returned = await asyncio.to_thread(tool.function, **arguments)
        return await returned if inspect.isawaitable(returned) else returned


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
