"""To which replica Envoy sends a call, and which replicas it leaves alone. Two that can be told to fail."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from avatar.v1 import AvatarServiceStub, ConverseConfig, ConverseRequest, DeleteAvatarRequest, ListAvatarsRequest
from tests.envoy import Envoy, running_envoy
from tests.fakes.replica import Replica

WITHIN_S = 20.0
STREAMS = 12
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@dataclass
class Mesh:
    """Two replicas behind Envoy, and one client channel."""

    one: Replica
    other: Replica
    envoy: Envoy
    stub: Any

    async def open_stream(self) -> tuple[Any, str]:
        """A conversation, and the replica that has it."""
        call = self.stub.Converse(timeout=WITHIN_S)
        return call, await self.replica_of(call)

    async def replica_of(self, call: Any) -> str:
        """Which replica answers on an open stream."""
        await call.write(ConverseRequest(config=ConverseConfig()))
        response = await call.read()
        assert response is not grpc.aio.EOF, await call.details()
        name: str = response.session_started.session_id
        return name

    async def list_avatars(self) -> str:
        """Ask for avatars; returns who answered."""
        answer = await self.stub.ListAvatars(ListAvatarsRequest(), timeout=WITHIN_S)
        name: str = answer.next_page_token
        return name


@asynccontextmanager
async def mesh() -> AsyncIterator[Mesh]:
    """Both are healthy."""
    async with AsyncExitStack() as running:
        one = await running.enter_async_context(Replica("one"))
        other = await running.enter_async_context(Replica("other"))
        envoy = await running.enter_async_context(running_envoy([one.address, other.address]))
        channel = await running.enter_async_context(grpc.aio.insecure_channel(envoy.plain))
        yield Mesh(one, other, envoy, AvatarServiceStub(channel))


async def test_streams_of_one_channel_go_to_the_replica_with_fewer_of_them() -> None:
    async with mesh() as running:
        opened = [await running.open_stream() for _ in range(STREAMS)]
        spread = Counter(name for _, name in opened)
        # Of two that are drawn, and the same one may be drawn twice: near to even, not quite.
        assert min(spread["one"], spread["other"]) >= STREAMS // 4
        for call, _ in opened:
            call.cancel()


async def test_a_replica_that_drains_keeps_its_streams_and_gets_no_more() -> None:
    async with mesh() as running:
        opened = [await running.open_stream() for _ in range(STREAMS)]
        await running.one.be(healthy=False)
        await running.envoy.until_healthy(1)
        assert [name for _, name in opened] == [await running.replica_of(call) for call, _ in opened]
        later = [await running.open_stream() for _ in range(4)]
        assert {name for _, name in later} == {"other"}
        await running.one.be(healthy=True)
        await running.envoy.until_healthy(2)
        for call, _ in opened + later:
            call.cancel()


async def test_nobody_hears_of_a_call_that_another_replica_can_answer() -> None:
    async with mesh() as running:
        running.one.fails["ListAvatars"] = [UNAVAILABLE]
        running.other.fails["ListAvatars"] = [UNAVAILABLE]
        assert await running.list_avatars() in ("one", "other")
        assert running.envoy.stats(r"^cluster\.avatar\.upstream_rq_retry_success$").popitem()[1] == 1


async def test_a_stream_that_a_full_replica_refuses_is_taken_by_another() -> None:
    async with mesh() as running:
        running.one.fails["Converse"] = [grpc.StatusCode.RESOURCE_EXHAUSTED] * 1_000
        opened = [await running.open_stream() for _ in range(STREAMS)]
        assert {name for _, name in opened} == {"other"}
        assert running.one.calls["Converse"] > 0
        for call, _ in opened:
            call.cancel()


async def test_what_may_have_been_done_is_not_tried_again() -> None:
    async with mesh() as running:
        running.one.fails["DeleteAvatar"] = [UNAVAILABLE]
        running.other.fails["DeleteAvatar"] = [UNAVAILABLE]
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await running.stub.DeleteAvatar(DeleteAvatarRequest(name="avatars/ada"), timeout=WITHIN_S)
        assert failed.value.code() is UNAVAILABLE
        assert running.one.calls["DeleteAvatar"] + running.other.calls["DeleteAvatar"] == 1


async def test_a_replica_whose_calls_fail_is_left_alone_although_it_is_healthy() -> None:
    async with mesh() as running:
        running.one.fails["ListAvatars"] = [UNAVAILABLE] * 1_000
        ejected = r"^cluster\.avatar\.outlier_detection\.ejections_active$"
        async with asyncio.timeout(WITHIN_S):
            while not sum(running.envoy.stats(ejected).values()):
                assert await running.list_avatars() == "other"
        before = running.one.calls["ListAvatars"]
        assert {await running.list_avatars() for _ in range(20)} == {"other"}
        assert running.one.calls["ListAvatars"] == before
