"""When Triton counts as ready: an answer of the model itself, not of the server around it."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from avatar_service.errors import StartupError
from avatar_service.local import triton
from inference.contract import INPUTS


@pytest.mark.parametrize(
    ("avatar", "status", "error", "ready"),
    [
        ("ada@0", 200, "", True),
        ("", 400, "AVATAR: must be id@sha256", True),  # the model itself has answered
        ("", 400, "Request for unknown model: 'musetalk' is not found", False),
        ("ada@0", 400, "Request for unknown model: 'musetalk' is not found", False),
        ("ada@0", 500, "Stub process is not healthy", False),
    ],
)
def test_readiness_is_an_answer_of_the_model_itself(avatar: str, status: int, error: str, ready: bool) -> None:
    assert asyncio.run(probe(avatar, status, error)) is ready


def test_an_avatar_that_the_model_cannot_use_ends_the_wait_with_its_reason() -> None:
    with pytest.raises(StartupError, match="cannot render 'ada': AVATAR: prepared with other weights"):
        asyncio.run(probe("ada@0", 400, "AVATAR: prepared with other weights"))


def test_no_server_is_not_ready() -> None:
    async def scenario() -> bool:
        async with aiohttp.ClientSession() as http:
            return await triton._answers(http, "127.0.0.1:9", "ada@0")

    assert asyncio.run(scenario()) is False


async def probe(avatar: str, status: int, error: str) -> bool:
    """Probe a server that gives one answer."""

    async def infer(request: web.Request) -> web.Response:
        assert request.path == "/v2/models/musetalk/infer"
        assert {tensor["name"] for tensor in (await request.json())["inputs"]} == {
            spec.name for spec in INPUTS if not spec.optional
        }
        body = json.dumps({"error": error} if error else {"outputs": []})
        return web.Response(body=body.encode(), status=status)  # Triton names no type for its errors

    app = web.Application()
    app.router.add_post("/{path:.*}", infer)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        return await triton._answers(http, f"{server.host}:{server.port}", avatar)
