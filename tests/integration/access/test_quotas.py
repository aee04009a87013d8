"""Places of tenants, counted by one process and by several that share a real redis-server: the same rules."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from avatar_service.access.quotas import LEASE_S, PREFIX, RENEW_EVERY_S, Quotas, RedisQuotas, open_quotas
from avatar_service.redis_scripts import WITHIN_S
from tests.measuring import Growth
from tests.redis_server import RedisServer

DEADLINE_S = 10.0


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest, redis: RedisServer) -> str:
    if request.param == "memory":
        return ""
    with BlockingRedis.from_url(redis.url) as client:
        client.flushall()
    return redis.url


def shared(redis: RedisServer) -> AbstractAsyncContextManager[Quotas]:
    return open_quotas(redis.url)


async def until_taken(quotas: Quotas, session_id: str, limit: int) -> float:
    """Ask for a place until there is one; returns how long that took."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with asyncio.timeout(DEADLINE_S):
        while not await quotas.take("killed", session_id, limit):
            await asyncio.sleep(0.05)
    return loop.time() - began_s


async def test_a_tenant_gets_so_many_places_and_those_it_gives_back(url: str) -> None:
    async with open_quotas(url) as quotas:
        assert [await quotas.take("acme", name, 2) for name in "abc"] == [True, True, False]
        assert await quotas.take("other", "c", 2)
        await quotas.leave("acme", "a")
        assert [await quotas.take("acme", name, 2) for name in "cd"] == [True, False]


async def test_a_session_counts_once_however_many_streams_hold_it(url: str) -> None:
    async with open_quotas(url) as quotas:
        assert await quotas.take("acme", "a", 1)
        assert await quotas.take("acme", "a", 1)
        await quotas.leave("acme", "a")
        assert not await quotas.take("acme", "b", 1)
        await quotas.leave("acme", "a")
        assert await quotas.take("acme", "b", 1)


async def test_a_place_goes_over_from_one_session_to_another(url: str) -> None:
    async with open_quotas(url) as quotas:
        assert await quotas.take("acme", "new", 1)
        assert await quotas.take("acme", "resumed", 1, instead_of="new")
        assert not await quotas.take("acme", "new", 1)
        assert not await quotas.take("acme", "b", 1, instead_of="unheard-of")


async def test_a_place_is_given_up_also_where_there_is_none_for_the_other(url: str) -> None:
    async with open_quotas(url) as quotas:
        assert [await quotas.take("acme", name, 2) for name in "ab"] == [True, True]
        assert not await quotas.take("acme", "c", 0, instead_of="b")
        assert await quotas.take("acme", "d", 2)


async def test_processes_that_share_a_redis_count_together(redis: RedisServer) -> None:
    async with shared(redis) as one, shared(redis) as other:
        assert await one.take("together", "a", 2)
        assert await other.take("together", "b", 2)
        assert not await one.take("together", "c", 2)
        assert await other.take("together", "a", 2), "it is resumed there, and counts once"
        await one.leave("together", "a")
        await other.leave("together", "b")
        assert await one.take("together", "d", 2)


async def test_of_many_that_come_at_once_to_several_processes_as_many_get_a_place_as_there_are(
    redis: RedisServer,
) -> None:
    async with shared(redis) as one, shared(redis) as other:
        taken = await asyncio.gather(
            *(quotas.take("crowd", f"s-{number}", 7) for number, quotas in enumerate([one, other] * 20))
        )
        assert sum(taken) == 7


async def test_places_live_as_long_as_they_are_renewed_and_those_of_a_killed_process_for_their_lease(
    redis: RedisServer,
) -> None:
    killed = RedisQuotas(redis.url)
    async with shared(redis) as living:
        assert await living.take("killed", "a", 2)
        assert await killed.take("killed", "b", 2)
        await killed.aclose()
        assert not await living.take("killed", "c", 2)
        waited_s = await until_taken(living, "c", 2)
        assert LEASE_S - 1.0 < waited_s < LEASE_S + 1.0
        assert not await living.take("killed", "d", 2), "the place that was renewed is held"
        async with Redis.from_url(redis.url) as client:
            assert await client.zcard(f"{PREFIX}killed") == 2
            assert 0 < await client.pttl(f"{PREFIX}killed") <= 1000 * LEASE_S


async def test_while_redis_is_down_each_process_counts_alone_and_nobody_is_refused_for_that(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop, growth = asyncio.get_running_loop(), Growth()
    with RedisServer() as redis:
        async with shared(redis) as one, shared(redis) as other:
            assert await one.take("acme", "a", 2)
            redis.stop()
            assert await one.take("acme", "b", 2)
            began_s = loop.time()
            assert [await one.take("acme", name, 2) for name in ("c", "b")] == [False, True]
            assert [await other.take("acme", name, 2) for name in "de"] == [True, True]
            await one.leave("acme", "b")
            assert loop.time() - began_s < 2 * WITHIN_S
            redis.start()
            await asyncio.sleep(2 * RENEW_EVERY_S + 2 * WITHIN_S)
            assert not await one.take("acme", "f", 4), "a, b, d and e are known again"
            await other.leave("acme", "d")
            assert await one.take("acme", "f", 4)
    assert growth.of_all("avatar_quotas_degraded") == {}
    events = [record.msg["event"] for record in caplog.records if isinstance(record.msg, dict)]
    assert events.count("quotas_not_shared") <= 2
