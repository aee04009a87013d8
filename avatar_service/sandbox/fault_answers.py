"""What a fault does to what leaves the sandbox over HTTP: before the answer, in its stream, or to it as a whole.

``fault_middleware`` chooses the fault of a request. ``open_answer`` gives the handlers a streamed answer that has it;
what concerns the content (``fault_content``) is done to what the models yield, before it is encoded.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from avatar_service.sandbox.fault_kinds import FaultRefused, InjectedFault, Target
from avatar_service.sandbox.fault_words import status_error
from avatar_service.sandbox.faults import Faults
from avatar_service.sandbox.serving import RECORD, VENDOR, Handler, StreamedAnswer, Vendor, route_of

_FAULT: Final = web.RequestKey("fault", InjectedFault)

SILENCE_S: Final = 120.0
"""Longest silence of ``hang`` and ``stall``; a caller that is still there is then cut off."""
ENDLESS_WAIT_S: Final = 0.01
"""Between two outputs of an answer without an end, so that it floods nobody."""

_BODY_S: Final = 30.0
_TARGETS: Final[Mapping[str, Target]] = {
    "/openai/v1/audio/transcriptions": "transcription",
    "/openai/v1/audio/translations": "transcription",
    "/openai/v1/chat/completions": "chat",
    "/elevenlabs/v1/text-to-speech/{voice_id}": "speech",
    "/elevenlabs/v1/text-to-speech/{voice_id}/stream": "speech",
    "/elevenlabs/v1/text-to-speech/{voice_id}/with-timestamps": "speech",
    "/elevenlabs/v1/text-to-speech/{voice_id}/stream/with-timestamps": "speech",
    "/elevenlabs/v1/text-to-speech/{voice_id}/stream-input": "speech_socket",
    "/elevenlabs/v1/text-to-speech/{voice_id}/multi-stream-input": "speech_socket",
    "/elevenlabs/v1/voices": "voices",
    "/elevenlabs/v1/voices/settings/default": "voices",
    "/elevenlabs/v1/voices/{voice_id}": "voices",
    "/elevenlabs/v1/voices/{voice_id}/settings": "voices",
    "/elevenlabs/v2/voices": "voices",
    "/elevenlabs/v1/models": "models",
    "/openai/v1/models": "models",
    "/openai/v1/models/{model}": "models",
}
_HTML: Final = "<!doctype html><html><head><title>Sorry</title></head><body><h1>Please wait...</h1></body></html>"
_GARBAGE: Final = '{"id": "\x00\ufffd", "choices": [{"del'
"""Begins as JSON does and is none."""


class AnswerEnded(Exception):
    """The answer ends here, whatever its handler has left to say."""

    def __init__(self, answer: StreamedAnswer) -> None:
        super().__init__("the answer was ended by a fault")
        self.answer = answer


def fault_middleware(faults: Faults) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Return the aiohttp middleware that gives requests their faults; it stands within the vendor's own."""

    @web.middleware
    async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
        target = _TARGETS.get(route_of(request))
        fault = _choose(faults, target, request) if target is not None else None
        if fault is None:
            return await handler(request)
        request[_FAULT] = fault
        request[RECORD].fault = fault.name
        if (early := await _instead(request, fault)) is not None:
            return early
        try:
            response = await handler(request)
        except AnswerEnded as ended:
            return await ended.answer.finish()
        if isinstance(response, web.Response) and not response.prepared and response.status < 400:
            return await _altered(request, fault, response)
        return response

    return serve


def fault_of(request: web.Request) -> InjectedFault | None:
    """Return the fault of a request, if it has one."""
    fault: InjectedFault | None = request.get(_FAULT)
    return fault


def open_answer(request: web.Request, content_type: str, headers: Mapping[str, str] | None = None) -> StreamedAnswer:
    """Return an answer that is sent in pieces, one output each, with what the request's fault does to it."""
    fault = fault_of(request)
    if fault is None:
        return StreamedAnswer(request, content_type, headers)
    return FaultyAnswer(request, content_type, headers, fault)


class FaultyAnswer(StreamedAnswer):
    """A streamed answer in which a fault takes the place of the output after the first ``after``, or of its end."""

    def __init__(
        self, request: web.Request, content_type: str, headers: Mapping[str, str] | None, fault: InjectedFault
    ) -> None:
        super().__init__(request, content_type, headers)
        self._fault = fault
        self._content_type = content_type
        self._sent = 0

    async def write(self, data: bytes) -> None:
        """Send one output, or what the fault has in its place."""
        if self._sent >= self._fault.after:
            data = await self._broken(data)
        self._sent += 1
        await super().write(data)

    async def end(self) -> web.StreamResponse:
        """End the answer, unless the fault does."""
        if self._sent <= self._fault.after and (data := await self._broken(b"")):
            await super().write(data)
        return await self.finish()

    async def _broken(self, data: bytes) -> bytes:
        """Return what leaves in place of an output (empty: the end); does not return if nothing does."""
        match self._fault.name:
            case "stall":
                await self.begin()
                await silence(self._request)
            case "cut":
                cut(self._request)
            case "error_frame":
                await super().write(self._framed(json.dumps(_error_body(self._request, self._fault))))
                raise AnswerEnded(self)
            case "no_finish":
                raise AnswerEnded(self)
            case "garbage":
                return self._framed(_GARBAGE, len(data))
            case "endless" if data and _TARGETS[route_of(self._request)] == "transcription":
                while True:
                    await super().write(data)
                    await asyncio.sleep(ENDLESS_WAIT_S)
        return data

    def _framed(self, text: str, size: int = 0) -> bytes:
        """Return a text as one output of this answer; sound that is no sound has the ``size`` of what it replaces."""
        if self._content_type.startswith("text/event-stream"):
            return b"data: " + text.encode() + b"\n\n"
        if self._content_type.startswith("audio/"):
            return (text.encode() * (size // len(text) + 1))[: size or None]
        return text.encode() + b"\n"


async def silence(request: web.Request) -> None:
    """Say nothing until the caller hangs up; if it does not within ``SILENCE_S``, cut it off."""
    await asyncio.sleep(SILENCE_S)
    cut(request)


def cut(request: web.Request) -> None:
    """Reset the connection and raise ``ConnectionError``, which ends the handler."""
    request[RECORD].outcome = "failed"
    if request.transport is not None:
        opened: socket.socket = request.transport.get_extra_info("socket")
        # Closing with zero linger sends RST; what the caller has received already stays readable.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    raise ConnectionResetError("cut by a fault")


def _choose(faults: Faults, target: Target, request: web.Request) -> InjectedFault | None:
    try:
        return faults.choose(target, request.headers)
    except FaultRefused as error:
        raise request[VENDOR].error(400, "invalid_fault", str(error)) from error


async def _instead(request: web.Request, fault: InjectedFault) -> web.Response | None:
    """Return the answer of a fault for which no handler is needed; None if one is. The body is read in any case."""
    if fault.name not in ("status", "hang", "content_type", "cut") or (fault.name == "cut" and fault.after):
        return None
    await _discard_body(request)
    match fault.name:
        case "hang":
            await silence(request)
        case "cut":
            cut(request)
        case "content_type":
            return web.Response(text=_HTML, content_type="text/html")
    return _status(request[VENDOR], fault)


def _status(vendor: Vendor, fault: InjectedFault) -> web.Response:
    error = status_error(vendor, fault.status, None if fault.code is None else str(fault.code))
    retry_after = {} if fault.retry_after_s is None else {"Retry-After": f"{fault.retry_after_s:g}"}
    return web.json_response(error.body, status=error.status, headers=retry_after)


async def _discard_body(request: web.Request) -> None:
    """Read what the caller sends, so that it finds the fault when it reads and not while it writes."""
    async with asyncio.timeout(_BODY_S):
        while await request.content.readany():
            pass


async def _altered(request: web.Request, fault: InjectedFault, response: web.Response) -> web.StreamResponse:
    """Return a whole answer with the fault in it; as it is one output, ``after`` above 0 means half of it."""
    body = response.body if isinstance(response.body, bytes) else b""
    match fault.name:
        case "stall" | "cut":
            answer = StreamedAnswer(request, response.content_type, {"Content-Length": str(len(body))})
            if fault.after:
                await answer.write(body[: len(body) // 2])
            await answer.begin()
            if fault.name == "cut":
                cut(request)
            await silence(request)
        case "error_frame":
            return web.json_response(_error_body(request, fault))
        case "garbage":
            return web.Response(body=_GARBAGE.encode(), headers={"Content-Type": response.headers["Content-Type"]})
        case "endless":
            endless = StreamedAnswer(request, response.headers["Content-Type"])
            while True:
                await endless.write(b" " * 1024)
                await asyncio.sleep(ENDLESS_WAIT_S)
        case "empty" if _TARGETS[route_of(request)] in ("voices", "models"):
            return web.json_response(_without_entries(json.loads(body)))
        case "no_finish":
            completion = json.loads(body)
            completion["choices"][0]["finish_reason"] = None
            return web.json_response(completion)
    return response


def _error_body(request: web.Request, fault: InjectedFault) -> Mapping[str, Any]:
    return status_error(request[VENDOR], 500, None if fault.code is None else str(fault.code)).body


def _without_entries(body: Any) -> Any:
    """Return a list's answer without what it lists."""
    if isinstance(body, dict):
        return {name: [] if isinstance(value, list) else value for name, value in body.items()}
    return []
