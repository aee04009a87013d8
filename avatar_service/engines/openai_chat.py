"""Replies by OpenAI's chat completions API, or any server that speaks it."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace

import openai
from openai.types.chat import ChatCompletionChunk

from avatar_service.engines import policy
from avatar_service.engines.attempt import Attempt
from avatar_service.engines.base import ChatDelta, ChatOptions, Message
from avatar_service.engines.openai_answers import Choice, Chunk, StreamedText, Usage, attend, malformed, pieces_of
from avatar_service.engines.openai_messages import BrokenCalls, StreamedCalls, message_param, tool_param
from avatar_service.engines.openai_refusals import RefusedParameters
from avatar_service.engines.vendor import OPENAI, Vendor
from avatar_service.engines.vendor_errors import vendor_errors
from avatar_service.errors import EngineError, EngineRejected, Fault
from avatar_service.settings import LimitSettings

STAGE = "think"
REFUSABLE = ("max_tokens", "temperature", "user")
"""Parameters that some models refuse. The first goes by its later name then, the others are left out."""
TOKEN_CHARACTERS = 8
"""Most characters that a reply may have for each token it was allowed: twice what English has."""
LEAST_CHARACTERS = 200
"""What every reply may have: a single token can be long."""
USAGE_WAIT_S = 0.5
"""How long the usage is awaited behind the end of a reply, which waits for it."""


class OpenAIChat:
    """Streams each reply as the model writes it."""

    def __init__(self, client: openai.AsyncOpenAI, limits: LimitSettings, vendor: Vendor = OPENAI) -> None:
        self._client = client
        self._limits = limits
        self._vendor = vendor
        self._refused = RefusedParameters(*REFUSABLE)

    def complete(self, messages: Sequence[Message], options: ChatOptions) -> AsyncGenerator[ChatDelta, None]:
        """Stream the reply; its last delta carries the finish reason, the calls and the usage."""
        return policy.stream(
            STAGE,
            self._vendor.engine,
            lambda attempt: self._attempt(messages, options, attempt),
            self._limits,
            begins=lambda delta: bool(delta.text or delta.finish_reason),
        )

    async def _attempt(
        self, messages: Sequence[Message], options: ChatOptions, attempt: Attempt
    ) -> AsyncGenerator[ChatDelta, None]:
        attempt.asks(options.model, str(self._client.base_url))
        reply = _StreamedReply(options, self._vendor)
        with vendor_errors(STAGE, self._vendor):
            async with await self._open(messages, options) as stream:
                attend(stream.response, attempt, malformed(STAGE, self._vendor, "the answer is too large"))
                async with aclosing(pieces_of(stream, Chunk)) as chunks:
                    async for chunk in chunks:
                        if delta := reply.push(chunk):
                            attempt.received(len(delta.text.encode()))
                            yield delta
                        if reply.finish_reason:
                            break
                    last = reply.end()
                    await reply.await_usage(chunks)
        attempt.used(reply.prompt_tokens, reply.completion_tokens)
        yield replace(last, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens)

    async def _open(self, messages: Sequence[Message], options: ChatOptions) -> openai.AsyncStream[ChatCompletionChunk]:
        """Send the request, again at once without a parameter that the model refuses."""
        while True:
            try:
                return await self._request(messages, options, self._refused.of(options.model))
            except openai.APIStatusError as error:
                if not self._refused.learn(options.model, error):
                    raise

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


class _StreamedReply:
    """One reply as its chunks come. Raises EngineError where they make none."""

    def __init__(self, options: ChatOptions, vendor: Vendor) -> None:
        self.finish_reason = ""
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self._vendor = vendor
        self._text = StreamedText()
        self._calls = StreamedCalls(options.tools)
        self._characters_left = max(LEAST_CHARACTERS, TOKEN_CHARACTERS * options.max_tokens)
        self._has_text = False

    def push(self, chunk: Chunk) -> ChatDelta | None:
        """What a chunk adds to the reply, if anything. What the user does not read, such as pieces of a call or a
        model's reasoning, is an empty delta: the model is at work."""
        self._count(chunk.usage)
        choice = chunk.choices[0] if chunk.choices else Choice()
        self.finish_reason = choice.finish_reason or ""
        if choice.delta is None:
            return None
        with self._broken_calls():
            self._calls.add(choice.delta.tool_calls or ())
        text = self._text.push((choice.delta.content or "") + (choice.delta.refusal or ""))
        text = text if self._has_text else text.lstrip()
        self._has_text = self._has_text or bool(text)
        self._characters_left -= len(text)
        if self._characters_left < 0:
            raise malformed(STAGE, self._vendor, "the reply does not end")
        return ChatDelta(text)

    def end(self) -> ChatDelta:
        """The last delta of a reply that is over. Raises EngineError if it is not whole."""
        if not self.finish_reason:
            # A cut connection can look like a clean end; only the reason tells that the reply is whole.
            raise malformed(STAGE, self._vendor, "the answer ended without a finish reason")
        if self.finish_reason == "content_filter":
            advice = self._vendor.advice(STAGE, Fault.FILTERED)
            message = "the content filter ended the reply"
            raise EngineRejected(STAGE, self._vendor.engine, message, Fault.FILTERED, advice=advice)
        with self._broken_calls():
            calls = self._calls.whole(self.finish_reason)
        if not (self._has_text or calls):
            raise malformed(STAGE, self._vendor, "the reply is empty")
        return ChatDelta(finish_reason=self.finish_reason, tool_calls=calls)

    async def await_usage(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        """Take in the usage if it comes at once. Whatever goes wrong behind its end, the reply is whole."""
        with suppress(TimeoutError, EngineError), vendor_errors(STAGE, self._vendor):
            async with asyncio.timeout(USAGE_WAIT_S):
                async for chunk in chunks:
                    self._count(chunk.usage)

    @contextmanager
    def _broken_calls(self) -> Iterator[None]:
        try:
            yield
        except BrokenCalls as broken:
            raise malformed(STAGE, self._vendor, str(broken)) from None

    def _count(self, usage: Usage | None) -> None:
        if usage:  # servers that tell it with every chunk tell what there was so far
            self.prompt_tokens, self.completion_tokens = usage.prompt_tokens or 0, usage.completion_tokens or 0
