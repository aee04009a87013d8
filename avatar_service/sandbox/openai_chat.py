"""``POST chat/completions``, streamed and whole."""

import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from aiohttp import web

from avatar_service.sandbox.chat_reply import ArgumentsDelta, CallStart, ChatReply, RefusalDelta, ReplyPart
from avatar_service.sandbox.chat_request import ChatRequest, parse_chat
from avatar_service.sandbox.errors import openai_error
from avatar_service.sandbox.fault_answers import fault_of, open_answer
from avatar_service.sandbox.fault_content import faulty_reply
from avatar_service.sandbox.models import Models
from avatar_service.sandbox.pacing import hold_first_byte
from avatar_service.sandbox.replay import Replay
from avatar_service.sandbox.serving import RECORD, read_body
from avatar_service.sandbox.settings import SandboxSettings
from avatar_service.sandbox.smollm import ContextLengthError, ReplyEnd, SchemaError, TextDelta
from avatar_service.sandbox.worker import WorkerError


class ChatCompletions:
    """The route and what it needs."""

    def __init__(self, models: Models, settings: SandboxSettings, replay: Replay | None = None) -> None:
        self._models = models
        self._settings = settings
        self._replay = replay

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Answer one conversation. A caller that hangs up ends the generation within a token."""
        chat = parse_chat(await self._read(request))
        received_s = time.monotonic()
        async with aclosing(self._parts(request, chat)) as parts:
            first = await _first_parts(parts)
            await hold_first_byte(received_s, self._settings.chat_delay_s)
            if chat.stream:
                return await _stream(request, chat, _chain(first, parts))
            return await _whole(chat, _chain(first, parts))

    async def _read(self, request: web.Request) -> Mapping[str, Any]:
        try:
            body = json.loads(await read_body(request, self._settings.deadline_s))
        except (ValueError, RecursionError) as error:
            raise openai_error(400, None, "We could not parse the JSON body of your request.") from error
        if not isinstance(body, dict):
            raise openai_error(400, None, "The JSON body of your request must be an object.")
        return body

    async def _parts(self, request: web.Request, chat: ChatRequest) -> AsyncGenerator[ReplyPart, None]:
        """Yield the reply's parts and keep the record's figures."""
        figures = request[RECORD].figures
        figures["completion_tokens"] = 0
        started_s = time.monotonic()
        reply: AsyncGenerator[ReplyPart, None] = (
            self._replay.reply(started_s, chat.said)
            if self._replay
            else ChatReply(self._models.smollm, chat, self._settings.deadline_s).parts()
        )
        async with aclosing(faulty_reply(fault_of(request), chat, reply)) as parts:
            async for part in parts:
                figures["model_s"] = time.monotonic() - started_s
                figures["completion_tokens"] += isinstance(part, TextDelta | ArgumentsDelta)
                if isinstance(part, ReplyEnd):
                    figures["prompt_tokens"] = part.prompt_tokens
                yield part


async def _first_parts(parts: AsyncIterator[ReplyPart]) -> list[ReplyPart]:
    """Return the parts up to the first that the model made; what is wrong with the request shows until then."""
    first = []
    try:
        async for part in parts:
            first.append(part)
            if not isinstance(part, CallStart):
                break
    except ContextLengthError as error:
        raise openai_error(400, "context_length_exceeded", str(error), "messages") from error
    except SchemaError as error:
        raise openai_error(400, "invalid_function_parameters", f"Invalid schema: {error}.", "tools") from error
    return first


async def _chain(first: list[ReplyPart], rest: AsyncIterator[ReplyPart]) -> AsyncGenerator[ReplyPart, None]:
    for part in first:
        yield part
    async for part in rest:
        yield part


class _Chunks:
    """Makes the JSON of one completion's chunks, which share id and time."""

    def __init__(self, chat: ChatRequest) -> None:
        self._chat = chat
        self._shared = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": chat.model,
            "service_tier": "default",
            "system_fingerprint": "fp_sandbox",
        }

    def opening(self, *, is_text: bool) -> bytes:
        """Return the first event, which carries the role."""
        return self._delta({"role": "assistant", "content": "" if is_text else None, "refusal": None})

    def part(self, part: ReplyPart) -> bytes:
        """Return the event of one part."""
        match part:
            case TextDelta():
                return self._delta({"content": part.text})
            case RefusalDelta():
                return self._delta({"refusal": part.text})
            case CallStart():
                return self._delta({"tool_calls": [{"index": part.index, **_call(part, "")}]})
            case ArgumentsDelta():
                return self._delta({"tool_calls": [{"index": part.index, "function": {"arguments": part.text}}]})
            case ReplyEnd():
                return self._delta({}, part.finish_reason)

    def usage(self, end: ReplyEnd) -> bytes:
        """Return the event with the usage, which has no choices."""
        return self._event({"object": "chat.completion.chunk", "choices": [], "usage": _usage(end)})

    def whole(self, message: Mapping[str, Any], end: ReplyEnd) -> dict[str, Any]:
        """Return the completion that is not streamed."""
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": end.finish_reason}
        return {**self._shared, "object": "chat.completion", "choices": [choice], "usage": _usage(end)}

    def _delta(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self._chat.include_usage else {}
        return self._event({"object": "chat.completion.chunk", "choices": [choice], **usage})

    def _event(self, body: Mapping[str, Any]) -> bytes:
        return b"data: " + json.dumps({**self._shared, **body}).encode() + b"\n\n"


def _call(start: CallStart, arguments: str) -> dict[str, Any]:
    return {"id": start.call_id, "type": "function", "function": {"name": start.name, "arguments": arguments}}


def _usage(end: ReplyEnd) -> dict[str, Any]:
    return {
        "prompt_tokens": end.prompt_tokens,
        "completion_tokens": end.completion_tokens,
        "total_tokens": end.prompt_tokens + end.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": end.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


async def _stream(
    request: web.Request, chat: ChatRequest, parts: AsyncGenerator[ReplyPart, None]
) -> web.StreamResponse:
    """Send the reply as events, one a token; an error on the way is an event too."""
    answer = open_answer(request, "text/event-stream; charset=utf-8")
    chunks = _Chunks(chat)
    opened = False
    try:
        async for part in parts:
            if not opened:
                await answer.write(chunks.opening(is_text=not isinstance(part, CallStart)))
                opened = True
            await answer.write(chunks.part(part))
            if isinstance(part, ReplyEnd) and chat.include_usage:
                await answer.write(chunks.usage(part))
    except (WorkerError, ContextLengthError, SchemaError):
        error = openai_error(500, "server_error", "The model stopped before the end of its reply.")
        await answer.write(b"data: " + json.dumps(error.body).encode() + b"\n\n")
        return await answer.end()
    await answer.write(b"data: [DONE]\n\n")
    return await answer.end()


async def _whole(chat: ChatRequest, parts: AsyncGenerator[ReplyPart, None]) -> web.Response:
    """Return the reply at once."""
    text = refusal = ""
    calls: list[tuple[CallStart, str]] = []
    async for part in parts:
        match part:
            case TextDelta():
                text += part.text
            case RefusalDelta():
                refusal += part.text
            case CallStart():
                calls.append((part, ""))
            case ArgumentsDelta():
                start, arguments = calls[part.index]
                calls[part.index] = (start, arguments + part.text)
            case ReplyEnd():
                message = _message(text, calls) | ({"content": None, "refusal": refusal} if refusal else {})
                return web.json_response(_Chunks(chat).whole(message, part))
    raise RuntimeError("the model's reply has no end")


def _message(text: str, calls: list[tuple[CallStart, str]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    if calls:
        message |= {"content": None, "tool_calls": [_call(start, arguments) for start, arguments in calls]}
    return message
