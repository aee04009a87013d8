"""How many sessions each tenant has: counted by this process, or over all that share a Redis.

A session is counted by its name, so one that is resumed while its old stream still runs, here or elsewhere, counts
once. What counts in Redis is a lease, which ends by itself where its holder is killed.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Protocol

from avatar_service import metrics
from avatar_service.background import running
from avatar_service.errors import StoreUnavailable
from avatar_service.log import get_logger
from avatar_service.redis_scripts import NOW, RedisScripts

log = get_logger(__name__)

LEASE_S = 5.0
"""How long a place still counts whose process does not renew it: that of a killed process is free after so long."""
RENEW_EVERY_S = 1.0
"""How often a process renews its places."""
PREFIX = "avatar:places:"
"""What the names of our keys begin with; the tenant follows."""
CONNECTIONS = 8
"""Most connections of a process."""
BATCH = 1_000
"""Most places that one call renews: Lua takes about 8,000 values at a time."""

TAKE = (
    NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms)
if ARGV[2] ~= '' then redis.call('ZREM', KEYS[1], ARGV[2]) end
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], now_ms + ARGV[4], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
"""
)
"""KEYS: a tenant's places. ARGV: the session that wants one, the one whose place it gives up or nothing, limit, how
long a place is leased in ms."""
RENEW = (
    NOW
    + """
for index = 2, #ARGV do redis.call('ZADD', KEYS[1], now_ms + ARGV[1], ARGV[index]) end
if #ARGV > 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
"""
)
"""KEYS: a tenant's places. ARGV: how long they are leased in ms, the sessions. A place that Redis has lost is taken
again, so that what it was is known again after a second."""
LEAVE = "return redis.call('ZREM', KEYS[1], ARGV[1])"
"""KEYS: a tenant's places. ARGV: the session."""


class Quotas(Protocol):
    """The places of each tenant."""

    async def take(self, tenant: str, session_id: str, limit: int, *, instead_of: str = "") -> bool:
        """Count a session of the tenant, unless `limit` others are counted; one that is counted already has its place.

        The place of `instead_of` is given up whatever the answer is.
        """

    async def leave(self, tenant: str, session_id: str) -> None:
        """A stream of the session is over."""


class LocalQuotas:
    """Counts what this process holds."""

    def __init__(self) -> None:
        self._streams: dict[str, Counter[str]] = {}
        """Of each tenant the sessions, each with the number of streams that hold it."""

    @property
    def tenants(self) -> dict[str, list[str]]:
        """The sessions of every tenant that has any."""
        return {tenant: list(sessions) for tenant, sessions in self._streams.items()}

    def fits(self, tenant: str, session_id: str, limit: int, *, instead_of: str = "") -> bool:
        """Whether a session would get a place."""
        sessions = self._streams.get(tenant, Counter[str]())
        given_up = sessions[instead_of] == 1
        return session_id in sessions or len(sessions) - given_up < limit

    def put(self, tenant: str, session_id: str) -> None:
        """Count one more stream of a session."""
        self._streams.setdefault(tenant, Counter())[session_id] += 1

    def remove(self, tenant: str, session_id: str) -> bool:
        """Count one stream less; returns whether the session has no other here."""
        sessions = self._streams.get(tenant, Counter[str]())
        if sessions[session_id] > 1:
            sessions[session_id] -= 1
            return False
        sessions.pop(session_id, None)
        if not sessions:
            self._streams.pop(tenant, None)
        return True

    async def take(self, tenant: str, session_id: str, limit: int, *, instead_of: str = "") -> bool:
        """Count a session; see Quotas."""
        fits = self.fits(tenant, session_id, limit, instead_of=instead_of)
        if instead_of:
            self.remove(tenant, instead_of)
        if fits:
            self.put(tenant, session_id)
        return fits

    async def leave(self, tenant: str, session_id: str) -> None:
        """A stream is over; see Quotas."""
        self.remove(tenant, session_id)


class RedisQuotas:
    """Counts what all processes hold that share a Redis. While that does not answer this process counts alone: nobody
    is refused because Redis is down."""

    def __init__(self, url: str) -> None:
        """Connects with the first call."""
        self._scripts = RedisScripts(url, {"take": TAKE, "renew": RENEW, "leave": LEAVE}, connections=CONNECTIONS)
        self._local = LocalQuotas()
        self._lease_ms = round(1000 * LEASE_S)
        self._is_shared = True
        """Whether Redis answered the last call."""

    async def take(self, tenant: str, session_id: str, limit: int, *, instead_of: str = "") -> bool:
        """Count a session; see Quotas."""
        fits = self._local.fits(tenant, session_id, limit, instead_of=instead_of)
        try:
            if fits and self._is_shared:
                fits = await self._fits(tenant, session_id, limit, instead_of)
        finally:  # a call that is cancelled here leaves a place in Redis that ends with its lease
            if instead_of:
                self._local.remove(tenant, instead_of)
        if fits:
            self._local.put(tenant, session_id)
        elif instead_of and self._is_shared:
            await self._call("leave", tenant, instead_of)
        return fits

    async def leave(self, tenant: str, session_id: str) -> None:
        """A stream is over; see Quotas. A place whose release is lost ends with its lease."""
        if self._local.remove(tenant, session_id) and self._is_shared:
            await self._call("leave", tenant, session_id)

    async def run(self) -> None:
        """Renew the places of this process until cancelled, and notice whether Redis answers."""
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            tenants = self._local.tenants
            if not tenants and not self._is_shared:
                await self._call("renew", "", self._lease_ms)
            for tenant, sessions in tenants.items():
                for some in _batches(sessions):
                    await self._call("renew", tenant, self._lease_ms, *some)

    async def aclose(self) -> None:
        """Close the connections; places that are held end with their leases."""
        await self._scripts.aclose()

    async def _fits(self, tenant: str, session_id: str, limit: int, instead_of: str) -> bool:
        """Take the place in Redis, or tell what this process knows where that does not answer."""
        taken = await self._call("take", tenant, session_id, instead_of, limit, self._lease_ms)
        if taken is None:
            return self._local.fits(tenant, session_id, limit, instead_of=instead_of)
        return taken == 1

    async def _call(self, script: str, tenant: str, *arguments: object) -> int | None:
        """The answer of a script; None if there is none."""
        try:
            answer: int = await self._scripts.run(script, PREFIX + tenant, *arguments)
        except StoreUnavailable as error:
            if self._is_shared:
                log.warning("quotas_not_shared", error=str(error))
            self._is_shared = False
            metrics.QUOTAS_DEGRADED.set(1)
            return None
        if not self._is_shared:
            log.info("quotas_shared")
        self._is_shared = True
        metrics.QUOTAS_DEGRADED.set(0)
        return answer


@asynccontextmanager
async def open_quotas(redis_url: str) -> AsyncIterator[Quotas]:
    """Count over all processes that share the Redis, or in this process alone where the URL is empty."""
    if not redis_url:
        yield LocalQuotas()
        return
    quotas = RedisQuotas(redis_url)
    try:
        async with running(quotas.run()):
            yield quotas
    finally:
        await quotas.aclose()


def _batches(sessions: list[str]) -> Iterator[list[str]]:
    for index in range(0, len(sessions), BATCH):
        yield sessions[index : index + BATCH]
