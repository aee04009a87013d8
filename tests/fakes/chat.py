"""A chat model that writes what it was told, token by token, at given times."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from avatar_service.engines.base import ChatDelta, ChatOptions, Message
from avatar_service.errors import EngineError
from avatar_service.media.types import ToolCall


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: its first token after `ttft_s`, all of them within `duration_s` more.

    With `error` it fails after `error_after` tokens; an infinite `ttft_s` hangs. It ends with `tool_calls`, if any, and
    with `finish_reason`, or the one that is usual.
    """

    text: str = "Hello there."
    ttft_s: float = 0.1
    duration_s: float = 0.2
    error: EngineError | None = None
    error_after: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""

    @property
    def tokens(self) -> list[str]:
        """Words, each with the white space before it: joined they are the text."""
        return re.findall(r"\s*\S+", self.text)


class FakeChat:
    """Gives the replies of its script in order, then the last one again and again; keeps the requests."""

    def __init__(self, *script: Reply) -> None:
        self.script = list(script)
        self.requests: list[list[Message]] = []
        self.options: list[ChatOptions] = []
        self.running = 0

    async def complete(self, messages: Sequence[Message], options: ChatOptions) -> AsyncGenerator[ChatDelta, None]:
        """Stream the next reply of the script."""
        script = self.script or [Reply()]
        reply = script[min(len(self.requests), len(script) - 1)]
        self.requests.append(list(messages))
        self.options.append(options)
        self.running += 1
        try:
            await asyncio.sleep(reply.ttft_s)
            between_s = reply.duration_s / max(1, len(reply.tokens) - 1)
            for number, token in enumerate(reply.tokens):
                if number:
                    await asyncio.sleep(between_s)
                if reply.error and number == reply.error_after:
                    raise reply.error
                yield ChatDelta(text=token)
            if reply.error:
                raise reply.error
            words = sum(len(message.text.split()) for message in messages)
            yield ChatDelta(
                finish_reason=reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop"),
                tool_calls=reply.tool_calls,
                prompt_tokens=words,
                completion_tokens=len(reply.tokens),
            )
        finally:
            self.running -= 1
