"""Sessions kept in Redis, so that any process resumes them.

One hash a session, named by the session, so that a cluster may spread them: `fence`, `token` (its hash), `used` (hashes
of earlier tokens), `record` (absent once the session has ended), `leased_ms` (until when it is held, on Redis's own
clock). The key expires with the record. Each call is one script, which Redis runs as a whole.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from avatar_service.errors import SessionTakenOver, StoreUnavailable
from avatar_service.session.stores.base import (
    LEASE_S,
    RECORD_BYTES,
    STORE_WITHIN_S,
    USED_TOKENS,
    Hold,
    Taken,
    TokenRefused,
)

PREFIX = "avatar:session:"
"""What the names of our keys begin with."""
CONNECTIONS = 32
"""Most connections of a process; a call holds one for about a millisecond."""

_NOW = "local time = redis.call('TIME') local now_ms = time[1] * 1000 + math.floor(time[2] / 1000) "
_FENCED = (
    "local fence = tonumber(redis.call('HGET', KEYS[1], 'fence') or 0) "
    "if fence > tonumber(ARGV[1]) then return 'taken_over' end "
)
SAVE = (
    _NOW
    + _FENCED
    + """
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'token', ARGV[2], 'record', ARGV[3], 'leased_ms', now_ms + ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 'saved'
"""
)
"""KEYS: the session. ARGV: fence, hash of the token, record, how long it is kept in ms, how long it is leased in ms."""
RENEW = (
    _NOW
    + _FENCED
    + """
if redis.call('HEXISTS', KEYS[1], 'record') == 0 then return 'no_record' end
redis.call('HSET', KEYS[1], 'leased_ms', now_ms + ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 'renewed'
"""
)
"""KEYS: the session. ARGV: fence, how long it is kept in ms, how long it is leased in ms."""
TAKE_OVER = (
    _NOW
    + """
local kept = redis.call('HMGET', KEYS[1], 'fence', 'token', 'used', 'record', 'leased_ms')
if not kept[1] then return {'no_record'} end
local used, again = kept[3] or '', kept[2] == ARGV[2]
if kept[2] ~= ARGV[1] and not again then
  return {string.find(used, ARGV[1], 1, true) and 'used' or 'mismatch'}
end
if not kept[4] then return {'ended'} end
local fence = again and kept[1] or kept[1] + 1
used = again and used or string.sub(ARGV[1] .. used, 1, #ARGV[1] * ARGV[5])
redis.call('HSET', KEYS[1], 'fence', fence, 'token', ARGV[2], 'used', used, 'leased_ms', now_ms + ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'taken', fence, kept[4], now_ms < tonumber(kept[5]) and 1 or 0}
"""
)
"""KEYS: the session. ARGV: hash of the token, that of the next, how long the record is kept in ms, how long it is
leased in ms, how many used tokens are remembered. A take-over that was done, but whose answer was lost with the
connection, may be sent again. Hashes of 256 random bits need no comparison in constant time: what
it tells of them leads to no token."""
RELEASE = """
local fence = redis.call('HGET', KEYS[1], 'fence')
if not fence or tonumber(fence) > tonumber(ARGV[1]) then return 'nothing' end
if ARGV[2] == 'remove' then redis.call('HDEL', KEYS[1], 'record') end
redis.call('HSET', KEYS[1], 'leased_ms', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 'released'
"""
"""KEYS: the session. ARGV: fence, `keep` or `remove`, how long what is left is kept in ms. Fence and token stay without
the record, so that a holder of old can still not write."""


class RedisStore:
    """One pool of connections for all sessions of the process."""

    def __init__(self, url: str, keep_s: float) -> None:
        """Records are kept for `keep_s` seconds beyond their last renewal. Connects with the first call."""
        self._keep_ms = round(1000 * keep_s)
        self._lease_ms = round(1000 * LEASE_S)
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=STORE_WITHIN_S,
            socket_connect_timeout=STORE_WITHIN_S,
            socket_timeout=STORE_WITHIN_S,
            retry=Retry(NoBackoff(), 1),  # once, for a connection that Redis closed while it lay in the pool
            client_name="avatar-service",
        )
        self._redis = Redis.from_pool(pool)
        scripts = {"save": SAVE, "renew": RENEW, "take_over": TAKE_OVER, "release": RELEASE}
        self._scripts: dict[str, Any] = {name: self._redis.register_script(text) for name, text in scripts.items()}

    async def save(self, hold: Hold, record: bytes) -> None:
        """Write the record; see SessionStore."""
        if len(record) > RECORD_BYTES:
            raise StoreUnavailable(f"a record of {len(record)} bytes is above the limit of {RECORD_BYTES}")
        arguments = (hold.fence, hold.token_hash, record, self._keep_ms, self._lease_ms)
        _require_held(await self._run("save", hold.session_id, *arguments))

    async def renew(self, hold: Hold) -> bool:
        """Renew the lease; see SessionStore."""
        answer = await self._run("renew", hold.session_id, hold.fence, self._keep_ms, self._lease_ms)
        _require_held(answer)
        return bool(answer == b"renewed")

    async def take_over(self, session_id: str, token_hash: str, next_hash: str) -> Taken:
        """Consume a token; see SessionStore."""
        arguments = (token_hash, next_hash, self._keep_ms, self._lease_ms, USED_TOKENS)
        answer, *taken = await self._run("take_over", session_id, *arguments)
        if answer != b"taken":
            raise TokenRefused(answer.decode())
        fence, record, was_held = taken
        return Taken(Hold(session_id, int(fence), next_hash), record, bool(was_held))

    async def release(self, hold: Hold, *, keep: bool) -> None:
        """End the lease; see SessionStore."""
        await self._run("release", hold.session_id, hold.fence, "keep" if keep else "remove", self._keep_ms)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _run(self, script: str, session_id: str, *arguments: object) -> Any:
        """Run a script within STORE_WITHIN_S. Raises StoreUnavailable."""
        try:
            with _cancels_kept():
                async with asyncio.timeout(STORE_WITHIN_S):
                    return await self._scripts[script](keys=[PREFIX + session_id], args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            # Its message may quote the address and the script's arguments.
            raise StoreUnavailable(f"Redis: {type(error).__name__}") from error


@contextmanager
def _cancels_kept() -> Iterator[None]:
    """Raise CancelledError for a cancel that came during the block and was lost there: redis-py sends under
    `asyncio.wait_for`, which in Python 3.11 drops a cancel that comes together with its result."""
    task = asyncio.current_task()
    assert task is not None, "only tasks can be cancelled"
    before = task.cancelling()
    try:
        yield
    finally:
        if task.cancelling() > before:
            raise asyncio.CancelledError


def _require_held(answer: bytes) -> None:
    if answer == b"taken_over":
        raise SessionTakenOver
