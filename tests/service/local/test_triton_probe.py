"""When Triton counts as ready: an answer of the model itself, not of the server around it."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from avatar_service.errors import StartupError
from avatar_service.local.triton_models import State, TritonModels
from inference.contract import INPUTS


@pytest.mark.parametrize(
    ("avatar", "status", "error", "state"),
    [
        ("ada@0", 200, "", State.ANSWERS),
        ("", 400, "AVATAR: must be id@sha256", State.ANSWERS),  # the model itself has answered
        ("", 404, "Request for unknown model: 'musetalk' has no available versions", State.FAILS),
        ("ada@0", 404, "Request for unknown model: 'musetalk' has no available versions", State.FAILS),
        ("ada@0", 503, "Exceeds maximum queue size", State.BUSY),
        ("ada@0", 500, "Stub process 'musetalk_0_0' is not healthy.", State.DEAD),
    ],
)
def test_what_counts_is_an_answer_of_the_model_itself(avatar: str, status: int, error: str, state: State) -> None:
    assert asyncio.run(probe(avatar, status, error)) is state


def test_an_avatar_that_the_model_cannot_use_ends_the_wait_with_its_reason() -> None:
    with pytest.raises(StartupError, match="cannot render 'ada': AVATAR: prepared with other weights"):
        asyncio.run(probe("ada@0", 400, "AVATAR: prepared with other weights"))


def test_no_server_is_not_ready() -> None:
    async def scenario() -> State:
        async with aiohttp.ClientSession() as http:
            return await TritonModels(http, "127.0.0.1:9", "ada@0").renders()

    assert asyncio.run(scenario()) is State.BUSY


async def probe(avatar: str, status: int, error: str) -> State:
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
        return await TritonModels(http, f"{server.host}:{server.port}", avatar).renders()
