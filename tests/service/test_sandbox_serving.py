"""What every vendor route has in common: key check, worded errors, records, cuts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from avatar_service.sandbox.auth import check_openai_key
from avatar_service.sandbox.errors import openai_error
from avatar_service.sandbox.record import RequestLog
from avatar_service.sandbox.serving import Load, StreamedAnswer, Vendor, vendor_middleware
from avatar_service.sandbox.worker import WorkerBusy, WorkerClosed, WorkerTimeout

KEY = {"Authorization": "Bearer key"}
VENDOR = Vendor("openai", lambda headers: check_openai_key(headers, "key"), openai_error, lambda _: {"x-mark": "here"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serve(
    handler: Handler, use: Callable[[aiohttp.ClientSession, str], Awaitable[None]], vendor: Vendor = VENDOR
) -> dict[str, Any]:
    """Serve one route, let a client use it, return the record of the last request."""
    requests = RequestLog(kept=10)

    async def run() -> None:
        app = web.Application(middlewares=[vendor_middleware(vendor, requests)], client_max_size=1000)
        app.router.add_post("/things/{id}", handler)
        async with TestServer(app) as server, aiohttp.ClientSession(headers=KEY) as client:
            await use(client, str(server.make_url("/things/7")))

    asyncio.run(run())
    last: dict[str, Any] = requests.to_json()["requests"][-1]
    return last


def raising(error: Exception) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        raise error

    return handler


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (openai_error(404, "model_not_found", "no such model"), 404, "model_not_found"),
        (WorkerBusy("16 wait"), 429, "system_busy"),
        (WorkerTimeout("slow"), 500, "timeout"),
        (WorkerClosed("closed"), 503, "unavailable"),
        (RuntimeError("what the user said"), 500, "internal_error"),
    ],
)
def test_errors_are_answered_in_the_vendors_words(
    error: Exception, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(client: aiohttp.ClientSession, url: str) -> None:
        async with client.post(url) as answer:
            assert answer.status == status
            assert answer.headers["x-mark"] == "here"
            body = await answer.json()
            assert body["error"]["code"] == code
            assert "what the user said" not in body["error"]["message"]

    with caplog.at_level(logging.INFO):
        record = serve(raising(error), use)
    assert (record["status"], record["outcome"]) == (status, "failed")
    assert "what the user said" not in caplog.text


def test_the_key_is_checked_before_anything_else() -> None:
    async def use(client: aiohttp.ClientSession, url: str) -> None:
        async with client.post(url, headers={"Authorization": "Bearer wrong"}) as answer:
            assert answer.status == 401

    assert serve(raising(AssertionError("reached")), use)["status"] == 401


def test_a_body_over_the_limit_is_refused() -> None:
    async def use(client: aiohttp.ClientSession, url: str) -> None:
        async with client.post(url, data=bytes(1001)) as answer:
            assert answer.status == 413

    assert serve(raising(AssertionError("reached")), use)["outcome"] == "failed"


def test_unknown_routes_are_recorded_without_their_path() -> None:
    async def use(client: aiohttp.ClientSession, url: str) -> None:
        async with client.post(url.replace("things", "secrets")) as answer:
            assert answer.status == 404
            assert "error" in await answer.json()

    assert serve(raising(AssertionError("reached")), use)["route"] == "unknown"


def test_one_request_too_many_is_refused() -> None:
    released = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response(text="done")

    async def use(client: aiohttp.ClientSession, url: str) -> None:
        async with asyncio.TaskGroup() as tasks:

            async def ask() -> int:
                async with client.post(url) as answer:
                    return answer.status

            first = tasks.create_task(ask())
            while not vendor.load.current:
                await asyncio.sleep(0)
            async with client.post(url) as answer:
                assert answer.status == 429
                assert (await answer.json())["error"]["code"] == "rate_limit_exceeded"
            released.set()
        assert first.result() == 200

    vendor = Vendor("openai", VENDOR.check_key, openai_error, VENDOR.headers, load=Load(1))
    serve(handler, use, vendor)
    assert vendor.load.current == 0


def test_a_streamed_answer_is_recorded_byte_by_byte() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = StreamedAnswer(request, "text/plain", {"x-more": "too"})
        await answer.write(b"one")
        await answer.write(b"three")
        return await answer.end()

    async def use(client: aiohttp.ClientSession, url: str) -> None:
        async with client.post(url, data=b"four") as answer:
            assert (answer.headers["x-mark"], answer.headers["x-more"]) == ("here", "too")
            assert await answer.read() == b"onethree"

    record = serve(handler, use)
    assert (record["status"], record["outcome"], record["route"]) == (200, "completed", "/things/{id}")
    assert record["response_bytes"] == 8
    assert record["first_byte_s"] <= record["last_byte_s"]


def test_a_failure_after_the_first_byte_cuts_the_answer() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await StreamedAnswer(request, "text/plain").write(b"half")
        raise RuntimeError("what the user said")

    async def use(client: aiohttp.ClientSession, url: str) -> None:
        async with client.post(url) as answer:
            assert answer.status == 200
            with pytest.raises(aiohttp.ClientError):
                await answer.read()

    record = serve(handler, use)
    assert (record["outcome"], record["response_bytes"]) == ("failed", 4)
