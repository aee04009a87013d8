"""``POST chat/completions``, streamed and whole."""

import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from avatar_service.sandbox.brevity import MAX_TOKENS, ReplyLimit, reply_limit
from avatar_service.sandbox.catalogue import CHAT_MODELS
from avatar_service.sandbox.errors import VendorError, openai_error
from avatar_service.sandbox.models import Models
from avatar_service.sandbox.pacing import hold_first_byte
from avatar_service.sandbox.serving import RECORD, StreamedAnswer
from avatar_service.sandbox.settings import SandboxSettings
from avatar_service.sandbox.smollm import ContextLengthError, Message, ReplyEnd, SmolLm, TextDelta
from avatar_service.sandbox.worker import Cancelled, WorkerError

_ROLES: Final = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_MAX_STOPS: Final = 4


@dataclass(frozen=True, slots=True)
class _ChatRequest:
    """What of the body matters here."""

    model: str
    messages: list[Message]
    limit: ReplyLimit
    stop: list[str]
    stream: bool
    include_usage: bool


class ChatCompletions:
    """The route and what it needs."""

    def __init__(self, models: Models, settings: SandboxSettings) -> None:
        self._models = models
        self._settings = settings

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Answer one conversation. A caller that hangs up ends the generation within a token."""
        chat = _parse(await _read_json(request))
        received_s = time.monotonic()
        async with aclosing(self._reply(request, chat)) as reply:
            try:
                first = await anext(reply)
            except ContextLengthError as error:
                raise openai_error(400, "context_length_exceeded", str(error), "messages") from error
            await hold_first_byte(received_s, self._settings.chat_delay_s)
            if chat.stream:
                return await _stream(request, chat, first, reply)
            return await _whole(chat, first, reply)

    async def _reply(self, request: web.Request, chat: _ChatRequest) -> AsyncGenerator[TextDelta | ReplyEnd, None]:
        """Yield the reply as the model makes it."""
        figures = request[RECORD].figures
        figures["completion_tokens"] = 0
        started_s = time.monotonic()

        def work(model: SmolLm, cancelled: Cancelled, emit: Callable[[TextDelta | ReplyEnd], None]) -> None:
            def count_and_emit(delta: TextDelta | ReplyEnd) -> None:
                figures["completion_tokens"] += isinstance(delta, TextDelta)
                emit(delta)

            model.complete(chat.messages, chat.limit, cancelled, count_and_emit, chat.stop)

        # The channel holds a whole reply, so that a slow caller does not hold the model.
        deltas = self._models.smollm.stream(work, capacity=MAX_TOKENS + 1, deadline_s=self._settings.deadline_s)
        async with aclosing(deltas):
            async for delta in deltas:
                figures["model_s"] = time.monotonic() - started_s
                if isinstance(delta, ReplyEnd):
                    figures["prompt_tokens"] = delta.prompt_tokens
                yield delta


async def _read_json(request: web.Request) -> Mapping[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise openai_error(400, None, "We could not parse the JSON body of your request.") from error
    if not isinstance(body, dict):
        raise openai_error(400, None, "The JSON body of your request must be an object.")
    return body


def _parse(body: Mapping[str, Any]) -> _ChatRequest:
    """Check the body; parameters that have no effect here are left alone."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise openai_error(400, "missing_required_parameter", "you must provide a model parameter", "model")
    if model not in CHAT_MODELS:
        message = f"The model `{model[:80]}` does not exist or you do not have access to it."
        raise openai_error(404, "model_not_found", message, "model")
    messages = _messages(body.get("messages"))
    questions = [message["content"] for message in messages if message["role"] == "user"]
    options = body.get("stream_options")
    return _ChatRequest(
        model=model,
        messages=messages,
        limit=reply_limit(questions[-1] if questions else "", _max_tokens(body)),
        stop=_stop(body.get("stop")),
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _messages(given: Any) -> list[Message]:
    if not isinstance(given, list) or not given:
        raise _invalid("messages", "expected a non-empty array")
    return [_message(message, f"messages[{number}]") for number, message in enumerate(given)]


def _message(given: Any, where: str) -> Message:
    if not isinstance(given, dict):
        raise _invalid(where, "expected an object")
    role = _ROLES.get(str(given.get("role")))
    if role is None:
        raise _invalid(f"{where}.role", f"this sandbox serves {', '.join(_ROLES)}")
    content = given.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        texts = [part for part in parts if isinstance(part, str)]
        content = "".join(texts) if len(texts) == len(content) else None
    if not isinstance(content, str):
        raise _invalid(f"{where}.content", "expected a string or an array of text parts")
    return {"role": role, "content": content}


def _max_tokens(body: Mapping[str, Any]) -> int | None:
    name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    value = body.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise _invalid(name, "expected an integer of at least 1")
    return value


def _stop(given: Any) -> list[str]:
    stops = [given] if isinstance(given, str) else given or []
    if not isinstance(stops, list) or len(stops) > _MAX_STOPS or not all(isinstance(stop, str) for stop in stops):
        raise _invalid("stop", f"expected a string or an array of at most {_MAX_STOPS} strings")
    return stops


def _invalid(param: str, what: str) -> VendorError:
    return openai_error(400, "invalid_value", f"Invalid value for '{param}': {what}.", param)


class _Chunks:
    """Makes the JSON of one completion's chunks, which share id and time."""

    def __init__(self, chat: _ChatRequest) -> None:
        self._chat = chat
        self._shared = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": chat.model,
            "service_tier": "default",
            "system_fingerprint": "fp_sandbox",
        }

    def delta(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        """Return the event of one delta."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self._chat.include_usage else {}
        return self._event({"object": "chat.completion.chunk", "choices": [choice], **usage})

    def usage(self, end: ReplyEnd) -> bytes:
        """Return the event with the usage, which has no choices."""
        return self._event({"object": "chat.completion.chunk", "choices": [], "usage": _usage(end)})

    def whole(self, text: str, end: ReplyEnd) -> dict[str, Any]:
        """Return the completion that is not streamed."""
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": end.finish_reason}
        return {**self._shared, "object": "chat.completion", "choices": [choice], "usage": _usage(end)}

    def _event(self, body: Mapping[str, Any]) -> bytes:
        return b"data: " + json.dumps({**self._shared, **body}).encode() + b"\n\n"


def _usage(end: ReplyEnd) -> dict[str, Any]:
    return {
        "prompt_tokens": end.prompt_tokens,
        "completion_tokens": end.completion_tokens,
        "total_tokens": end.prompt_tokens + end.completion_tokens,
    }


async def _stream(
    request: web.Request, chat: _ChatRequest, first: TextDelta | ReplyEnd, rest: AsyncIterator[TextDelta | ReplyEnd]
) -> web.StreamResponse:
    """Send the reply as events, one a token; an error on the way is an event too."""
    answer = StreamedAnswer(request, "text/event-stream; charset=utf-8")
    chunks = _Chunks(chat)
    await answer.write(chunks.delta({"role": "assistant", "content": "", "refusal": None}))
    try:
        async for delta in _chain(first, rest):
            if isinstance(delta, TextDelta):
                await answer.write(chunks.delta({"content": delta.text}))
                continue
            await answer.write(chunks.delta({}, delta.finish_reason))
            if chat.include_usage:
                await answer.write(chunks.usage(delta))
    except WorkerError:
        error = openai_error(500, "server_error", "The model stopped before the end of its reply.")
        await answer.write(b"data: " + json.dumps(error.body).encode() + b"\n\n")
        return await answer.end()
    await answer.write(b"data: [DONE]\n\n")
    return await answer.end()


async def _whole(
    chat: _ChatRequest, first: TextDelta | ReplyEnd, rest: AsyncIterator[TextDelta | ReplyEnd]
) -> web.Response:
    """Return the reply at once."""
    text = ""
    async for delta in _chain(first, rest):
        if isinstance(delta, ReplyEnd):
            return web.json_response(_Chunks(chat).whole(text, delta))
        text += delta.text
    raise RuntimeError("the model's reply has no end")


async def _chain(
    first: TextDelta | ReplyEnd, rest: AsyncIterator[TextDelta | ReplyEnd]
) -> AsyncIterator[TextDelta | ReplyEnd]:
    yield first
    async for delta in rest:
        yield delta
