"""Replies by OpenAI's chat completions API, or any server that speaks it."""

from collections.abc import AsyncGenerator, Sequence

import openai
from openai.types.chat import ChatCompletionChunk

from avatar_service.engines import policy
from avatar_service.engines.attempt import Attempt
from avatar_service.engines.base import ChatDelta, ChatOptions, Message
from avatar_service.engines.openai_client import ENGINE, openai_errors
from avatar_service.engines.openai_messages import BrokenCalls, StreamedCalls, message_param, tool_param
from avatar_service.errors import EngineUnavailable
from avatar_service.log import get_logger
from avatar_service.settings import LimitSettings

log = get_logger(__name__)

STAGE = "think"
REFUSABLE = ("max_tokens", "temperature", "user")
"""Parameters that some models refuse by name. The first goes by its later name then, the others are left out."""
UNSUPPORTED = ("unsupported_parameter", "unsupported_value")
"""Codes of such a refusal."""
MODELS = 64
"""Models of which refusals are remembered."""


class OpenAIChat:
    """Streams each reply as the model writes it.

    A parameter that a model refuses is given to it once in the life of the process: no rule could tell it of models
    that are still to come, and the name of a deployment need not be its model's.
    """

    def __init__(self, client: openai.AsyncOpenAI, limits: LimitSettings) -> None:
        self._client = client
        self._limits = limits
        self._refused: dict[str, frozenset[str]] = {}

    def complete(self, messages: Sequence[Message], options: ChatOptions) -> AsyncGenerator[ChatDelta, None]:
        """Stream the reply; its last delta carries the finish reason."""
        return policy.stream(STAGE, ENGINE, lambda attempt: self._attempt(messages, options, attempt), self._limits)

    async def _attempt(
        self, messages: Sequence[Message], options: ChatOptions, attempt: Attempt
    ) -> AsyncGenerator[ChatDelta, None]:
        with openai_errors(STAGE):
            finished, calls = False, StreamedCalls(options.tools)
            chunks = await self._open(messages, options)
            attempt.identified(chunks.response.headers.get("x-request-id"))
            async with chunks:
                async for chunk in chunks:
                    delta = _delta(chunk, calls)
                    finished = finished or bool(delta.finish_reason)
                    yield delta
            if not finished:
                # A cut connection can look like a clean end; only the reason tells that the reply is whole.
                raise EngineUnavailable(STAGE, ENGINE, "the reply ended without a finish reason")

    async def _open(self, messages: Sequence[Message], options: ChatOptions) -> openai.AsyncStream[ChatCompletionChunk]:
        """Send the request, again at once without a parameter that the model refuses."""
        while True:
            refused = self._refused.get(options.model, frozenset())
            try:
                return await self._request(messages, options, refused)
            except openai.BadRequestError as error:
                if error.code not in UNSUPPORTED or error.param not in REFUSABLE or error.param in refused:
                    raise
                self._remember(options.model, refused | {error.param})

    async def _request(
        self, messages: Sequence[Message], options: ChatOptions, refused: frozenset[str]
    ) -> openai.AsyncStream[ChatCompletionChunk]:
        # `max_completion_tokens` is the later name of `max_tokens`; compatible servers do not all know it.
        renamed = "max_tokens" in refused
        return await self._client.chat.completions.create(
            messages=[message_param(message) for message in messages],
            model=options.model,
            max_tokens=openai.omit if renamed else options.max_tokens,
            max_completion_tokens=options.max_tokens if renamed else openai.omit,
            temperature=openai.omit if "temperature" in refused else options.temperature,
            tools=[tool_param(tool) for tool in options.tools] or openai.omit,
            user=options.end_user_id if options.end_user_id and "user" not in refused else openai.omit,
            stream=True,
            stream_options={"include_usage": True},
        )

    def _remember(self, model: str, refused: frozenset[str]) -> None:
        if len(self._refused) >= MODELS:  # names come from clients, so there may be any number
            self._refused.clear()
        self._refused[model] = refused
        log.info("model_refuses_parameters", refused=sorted(refused))


def _delta(chunk: ChatCompletionChunk, calls: StreamedCalls) -> ChatDelta:
    """One chunk in our words; the chunk with the usage has no choices."""
    choice = chunk.choices[0] if chunk.choices else None
    finish_reason = (choice.finish_reason or "") if choice else ""
    try:
        calls.add((choice.delta.tool_calls or ()) if choice else ())
        whole = calls.whole(finish_reason) if finish_reason else ()
    except BrokenCalls as broken:
        raise EngineUnavailable(STAGE, ENGINE, str(broken)) from None
    return ChatDelta(
        text=(choice.delta.content or "") if choice else "",
        finish_reason=finish_reason,
        tool_calls=whole,
        prompt_tokens=chunk.usage.prompt_tokens if chunk.usage else 0,
        completion_tokens=chunk.usage.completion_tokens if chunk.usage else 0,
    )
