"""Connections: how long they live, how often they may be asked, what they may carry."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar.v1 import AvatarServiceStub, ConverseConfig, GetServerInfoRequest
from avatar_service.rpc import connections
from tests.service.calls import Call, serving

AGE_S = 0.4
PINGS_S = 1.0
"""How often gRPC's client asks at most."""


async def test_a_connection_that_has_grown_old_takes_no_further_calls_and_its_streams_go_on(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTION_AGE_S", AGE_S)
    async with serving(store) as server:
        call = server.converse()
        await call.configure()
        await asyncio.sleep(3 * AGE_S)
        assert server.channel.get_state() is not grpc.ChannelConnectivity.READY, "it was told to look for another one"
        assert (await server.stub.GetServerInfo(GetServerInfoRequest())).default_avatar
        await call.say("Yes.")
        await call.until("turn_completed")
        assert await call.finish() is grpc.StatusCode.OK


@pytest.mark.full
async def test_a_client_that_asks_every_now_and_then_whether_the_server_is_there_is_answered(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CLIENT_PINGS_S", PINGS_S / 2)
    options = [
        ("grpc.keepalive_time_ms", round(1000 * PINGS_S)),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with serving(store) as server, grpc.aio.insecure_channel(server.address, options=options) as channel:
        stub: Any = AvatarServiceStub(channel)
        call = Call(stub.Converse())
        await call.configure()
        await asyncio.sleep(6 * PINGS_S)
        await call.say("Yes.")
        await call.until("turn_completed")
        assert await call.finish() is grpc.StatusCode.OK


@pytest.mark.parametrize(("size", "code"), [(24_000, "OK"), (40_000, "RESOURCE_EXHAUSTED")])
async def test_a_long_token_is_taken_and_metadata_without_end_is_not(store: Path, size: int, code: str) -> None:
    async with serving(store) as server:
        converse: Any = server.stub.Converse
        call = Call(converse(metadata=(("authorization", "x" * size),)))
        if code == "OK":
            await call.send(config=ConverseConfig())
            assert await call.finish() is grpc.StatusCode.OK
        else:
            assert await call.end() is grpc.StatusCode.RESOURCE_EXHAUSTED
