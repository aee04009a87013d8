"""A vendor over a real socket that answers each request with the next of a script."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its status, then its pieces with a pause before each; after them `cut` breaks the connection off, and
    `stall` leaves it open without a word."""

    pieces: tuple[bytes, ...] = ()
    status: int = 200
    content_type: str = "application/octet-stream"
    pause_s: float = 0.0
    cut: bool = False
    stall: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Vendor:
    """The script, the requests that came and how many are open."""

    script: list[Answer] = field(default_factory=list)
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    open: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request with the next of the script, the last one again and again."""
        answer = self.script[min(len(self.requests), len(self.script) - 1)]
        self.requests.append(await _read(request))
        self.open += 1
        try:
            response = web.StreamResponse(
                status=answer.status, headers={"Content-Type": answer.content_type, **answer.headers}
            )
            response.enable_chunked_encoding()
            await asyncio.sleep(answer.pause_s)
            await response.prepare(request)
            for piece in answer.pieces:
                await response.write(piece)
                await asyncio.sleep(answer.pause_s)
            while answer.stall:
                await asyncio.sleep(0.05)
            if answer.cut and request.transport:
                request.transport.abort()
            return response
        finally:
            self.open -= 1


async def _read(request: web.Request) -> dict[str, Any]:
    """What a request asked for: its path, headers, query and fields, and the client's end of its connection."""
    fields: dict[str, Any] = {}
    if request.content_type == "application/json":
        fields = json.loads(await request.read())
    elif request.content_type == "multipart/form-data":
        form = await request.post()
        fields = {name: _content(value) for name, value in form.items()}
    peer = request.transport.get_extra_info("peername") if request.transport else None
    asked = {"path": request.path, "headers": request.headers, "query": dict(request.query), "fields": fields}
    return asked | {"peer": peer}


def _content(value: str | bytes | bytearray | web.FileField) -> object:
    if not isinstance(value, web.FileField):
        return value
    with value.file as file:
        return file.read()


@asynccontextmanager
async def vendor(*script: Answer) -> AsyncIterator[Vendor]:
    """Serve a script on a free port."""
    serving = Vendor(list(script))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serving.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    serving.url = f"http://{host}:{port}"
    try:
        yield serving
    finally:
        await runner.cleanup()


def event(data: dict[str, Any] | str) -> bytes:
    """One server-sent event."""
    return f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


def chunk(text: str | None = None, finish_reason: str | None = None, usage: tuple[int, int] | None = None) -> bytes:
    """One chunk of a chat completion, as OpenAI streams it."""
    choice = {"index": 0, "delta": {"content": text} if text is not None else {}, "finish_reason": finish_reason}
    body: dict[str, Any] = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [] if usage else [choice],
    }
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return event(body)
