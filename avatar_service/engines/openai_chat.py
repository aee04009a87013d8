"""Replies by OpenAI's chat completions API, or any server that speaks it."""

from collections.abc import AsyncGenerator, Sequence

import openai
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from avatar_service.engines import policy
from avatar_service.engines.base import ChatDelta, ChatOptions, Message
from avatar_service.engines.openai_client import ENGINE, openai_errors
from avatar_service.errors import EngineUnavailable
from avatar_service.settings import LimitSettings

STAGE = "think"


class OpenAIChat:
    """Streams each reply as the model writes it."""

    def __init__(self, client: openai.AsyncOpenAI, limits: LimitSettings) -> None:
        self._client = client
        self._limits = limits

    def complete(self, messages: Sequence[Message], options: ChatOptions) -> AsyncGenerator[ChatDelta, None]:
        """Stream the reply; its last delta carries the finish reason."""
        return policy.stream(STAGE, ENGINE, lambda: self._attempt(messages, options), self._limits)

    async def _attempt(self, messages: Sequence[Message], options: ChatOptions) -> AsyncGenerator[ChatDelta, None]:
        with openai_errors(STAGE):
            chunks = await self._client.chat.completions.create(
                messages=[_param(message) for message in messages],
                model=options.model,
                # `max_completion_tokens` is its new name, which compatible servers do not all know.
                max_tokens=options.max_tokens,
                temperature=options.temperature,
                stream=True,
                stream_options={"include_usage": True},
            )
            finished = False
            async with chunks:
                async for chunk in chunks:
                    delta = _delta(chunk)
                    finished = finished or bool(delta.finish_reason)
                    yield delta
            if not finished:
                # A cut connection can look like a clean end; only the reason tells that the reply is whole.
                raise EngineUnavailable(STAGE, ENGINE, "the reply ended without a finish reason")


def _param(message: Message) -> ChatCompletionMessageParam:
    match message.role:
        case "system":
            return {"role": "system", "content": message.text}
        case "user":
            return {"role": "user", "content": message.text}
        case _:
            return {"role": "assistant", "content": message.text}


def _delta(chunk: ChatCompletionChunk) -> ChatDelta:
    """One chunk in our words; the chunk with the usage has no choices."""
    choice = chunk.choices[0] if chunk.choices else None
    return ChatDelta(
        text=(choice.delta.content or "") if choice else "",
        finish_reason=(choice.finish_reason or "") if choice else "",
        prompt_tokens=chunk.usage.prompt_tokens if chunk.usage else 0,
        completion_tokens=chunk.usage.completion_tokens if chunk.usage else 0,
    )
