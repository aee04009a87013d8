"""An SDK's httpx over the connections of httpx2: what is cancelled leaves nothing behind."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import httpx2
import pytest
from aiohttp import ClientConnectionResetError, web

from avatar_service.engines.httpx_bridge import BridgedTransport

PIECES, PIECE = 20, b"sound" * 100


async def speak(request: web.Request) -> web.StreamResponse:
    """A voice that takes a while, and says back what it was asked."""
    answer = web.StreamResponse(headers={"x-asked": (await request.read()).decode()})
    await answer.prepare(request)
    with suppress(ClientConnectionResetError):
        for _ in range(PIECES):
            await answer.write(PIECE)
            await asyncio.sleep(0.001)
    return answer


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[web.AppRunner, str]]:
    app = web.Application()
    app.router.add_post("/speak", speak)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def client_of(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, transport=BridgedTransport(httpx2.Limits(max_connections=100)))


async def hear(client: httpx.AsyncClient) -> bytes:
    async with client.stream("POST", "/speak", content=b"hello") as response:
        assert response.headers["x-asked"] == "hello"
        return b"".join([piece async for piece in response.aiter_bytes()])


async def test_an_answer_comes_as_it_was_sent() -> None:
    async with serving() as (_, url), client_of(url) as client:
        assert await hear(client) == PIECES * PIECE


async def test_requests_that_are_cancelled_even_twice_keep_no_connection() -> None:
    chance = random.Random(1)

    async def cancelled(client: httpx.AsyncClient) -> None:
        hearing = asyncio.create_task(hear(client))
        await asyncio.sleep(chance.uniform(0, 0.02))
        hearing.cancel()
        await asyncio.sleep(0)
        hearing.cancel()  # a second time while the answer is being closed, as an outer group does
        await asyncio.wait({hearing})

    async with serving() as (runner, url), client_of(url) as client:
        for _ in range(15):
            await asyncio.gather(*(cancelled(client) for _ in range(8)))
        assert await hear(client) == PIECES * PIECE
        assert runner.server is not None
        assert len(runner.server.connections) <= 8  # httpcore 1.0.9 leaves about 80


async def test_errors_are_those_that_the_sdk_knows() -> None:
    async with serving() as (_, url):
        pass
    async with client_of(url) as client:
        with pytest.raises(httpx.ConnectError):
            await hear(client)
