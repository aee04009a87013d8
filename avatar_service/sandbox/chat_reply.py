"""What a chat completion consists of: text, or calls of functions, made by the model piece by piece."""

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from avatar_service.sandbox.brevity import MAX_TOKENS, ReplyLimit
from avatar_service.sandbox.chat_request import ChatRequest
from avatar_service.sandbox.chat_tools import Tool, called_tools
from avatar_service.sandbox.smollm import Generation, ReplyEnd, SmolLm, TextDelta
from avatar_service.sandbox.tool_arguments import argument_messages, narrowed
from avatar_service.sandbox.tool_results import worded_results
from avatar_service.sandbox.worker import Cancelled, Worker

_BOUND_TOKENS: Final = 256
"""Longest JSON and wording of results, unless the request asks for more or less."""


@dataclass(frozen=True, slots=True)
class CallStart:
    """The reply calls a function; its arguments follow."""

    index: int
    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ArgumentsDelta:
    """A piece of the arguments of the function that was called last."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """A piece of what the model says instead of a reply that it refuses."""

    text: str


ReplyPart = TextDelta | RefusalDelta | CallStart | ArgumentsDelta | ReplyEnd


class ChatReply:
    """One reply, as the model makes it."""

    def __init__(self, smollm: Worker[SmolLm], chat: ChatRequest, deadline_s: float) -> None:
        self._smollm = smollm
        self._chat = chat
        self._deadline_s = deadline_s

    async def parts(self) -> AsyncGenerator[ReplyPart, None]:
        """Yield the parts; the last one is a ``ReplyEnd``."""
        chat = self._chat
        tools = called_tools(
            chat.tools,
            chat.choice,
            chat.question,
            answers_tool=bool(chat.results),
            parallel=chat.parallel_calls,
        )
        parts = self._calls(tools) if tools else self._write(_text(chat))
        async with aclosing(parts):
            async for part in parts:
                yield part

    async def _calls(self, tools: list[Tool]) -> AsyncGenerator[ReplyPart, None]:
        """Yield the calls one after another, and one end for all."""
        prompt_tokens = completion_tokens = cached_tokens = 0
        reason = "stop" if self._chat.choice.kind == "function" else "tool_calls"  # as the vendor has it
        for index, tool in enumerate(tools):
            yield CallStart(index, f"call_{secrets.token_hex(12)}", tool.name)
            if not tool.parameters.get("properties"):
                yield ArgumentsDelta(index, "{}")
                continue
            arguments = self._write(_arguments(self._chat, tool))
            async with aclosing(arguments):
                async for part in arguments:
                    if isinstance(part, ReplyEnd):
                        prompt_tokens += part.prompt_tokens
                        completion_tokens += part.completion_tokens
                        cached_tokens += part.cached_tokens
                        reason = "length" if part.finish_reason == "length" else reason
                    else:
                        yield ArgumentsDelta(index, part.text)
        yield ReplyEnd(reason, prompt_tokens, completion_tokens, cached_tokens)

    async def _write(self, generation: Generation) -> AsyncGenerator[TextDelta | ReplyEnd, None]:
        """Yield one text of the model's."""

        def work(model: SmolLm, cancelled: Cancelled, emit: Callable[[TextDelta | ReplyEnd], None]) -> None:
            model.complete(generation, cancelled, emit)

        # The channel holds a whole reply, so that a slow caller does not hold the model.
        deltas = self._smollm.stream(work, capacity=MAX_TOKENS + 1, deadline_s=self._deadline_s)
        async with aclosing(deltas):
            async for delta in deltas:
                yield delta


def _text(chat: ChatRequest) -> Generation:
    """Return how a reply that is text is written: tools' results by rule, everything else by the model."""
    messages = [message for message in chat.messages if message["role"] != "tool" and message["content"]]
    if chat.results and chat.schema is None:
        return Generation(messages, _tokens(chat), chat.stop, exactly=worded_results(chat.results))
    if chat.schema is not None:
        results = [{"role": "user", "content": worded_results(chat.results)}] if chat.results else []
        return Generation([*messages, *results], _tokens(chat), chat.stop, schema=chat.schema)
    return Generation(messages, chat.limit, chat.stop, sampling=chat.sampling)


def _arguments(chat: ChatRequest, tool: Tool) -> Generation:
    schema = narrowed(tool.parameters, chat.question)
    return Generation(argument_messages(tool, chat.question), _tokens(chat), schema=schema)


def _tokens(chat: ChatRequest) -> ReplyLimit:
    """Return a limit in tokens alone, for what is not cut into sentences."""
    return ReplyLimit(0, exact=False, tokens=min(chat.max_tokens or _BOUND_TOKENS, MAX_TOKENS))
