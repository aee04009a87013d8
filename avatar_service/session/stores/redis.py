"""Sessions kept in Redis, so that any process resumes them.

One hash a session, named by the session, so that a cluster may spread them: `fence`, `token` (its hash), `previous`
(that of the token by which the holder came, until its client has confirmed the next), `used` (hashes of earlier
tokens), `tenant`, `record` (absent once the session has ended), `leased_ms` (until when it is held, on Redis's own
clock). The key expires with the record. Each call is one script, which Redis runs as a whole.
"""

from typing import Any

from avatar_service.errors import SessionTakenOver, StoreUnavailable
from avatar_service.redis_scripts import NOW, RedisScripts
from avatar_service.session.stores.base import LEASE_S, RECORD_BYTES, USED_TOKENS, Hold, Taken, TokenRefused

PREFIX = "avatar:session:"
"""What the names of our keys begin with."""
CONNECTIONS = 32
"""Most connections of a process."""

_FENCED = (
    "local fence = tonumber(redis.call('HGET', KEYS[1], 'fence') or 0) "
    "if fence > tonumber(ARGV[1]) then return 'taken_over' end "
)
_CONFIRMED = "if ARGV[2] == 'confirmed' then redis.call('HDEL', KEYS[1], 'previous') end "
"""Comes after the writes that need memory: Redis lets a script that has written go on when its memory is full."""
SAVE = (
    NOW
    + _FENCED
    + """
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'token', ARGV[3], 'record', ARGV[4], 'leased_ms', now_ms + ARGV[6],
  'tenant', ARGV[7])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
"""
    + _CONFIRMED
    + "return 'saved'"
)
"""KEYS: the session. ARGV: fence, `confirmed` or nothing, hash of the token, record, how long it is kept in ms, how
long it is leased in ms, tenant."""
RENEW = (
    NOW
    + _FENCED
    + """
if redis.call('HEXISTS', KEYS[1], 'record') == 0 then return 'no_record' end
redis.call('HSET', KEYS[1], 'leased_ms', now_ms + ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""
    + _CONFIRMED
    + "return 'renewed'"
)
"""KEYS: the session. ARGV: fence, `confirmed` or nothing, how long it is kept in ms, how long it is leased in ms."""
TAKE_OVER = (
    NOW
    + """
local kept = redis.call('HMGET', KEYS[1], 'fence', 'token', 'used', 'record', 'leased_ms', 'previous', 'tenant')
if not kept[1] then return {'no_record'} end
local used, again, unconfirmed = kept[3] or '', kept[2] == ARGV[2], kept[6] == ARGV[1]
if kept[2] ~= ARGV[1] and not again and not unconfirmed then
  return {string.find(used, ARGV[1], 1, true) and 'used' or 'mismatch'}
end
if (kept[7] or '') ~= ARGV[6] then return {'foreign'} end
if not kept[4] then return {'ended'} end
local was_held = now_ms < tonumber(kept[5])
if unconfirmed and not again and was_held then return {'unconfirmed'} end
local fence = again and kept[1] or kept[1] + 1
if not again and not unconfirmed then used = string.sub(ARGV[1] .. used, 1, #ARGV[1] * ARGV[5]) end
redis.call('HSET', KEYS[1], 'fence', fence, 'token', ARGV[2], 'previous', ARGV[1], 'used', used,
  'leased_ms', now_ms + ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'taken', fence, kept[4], was_held and 1 or 0}
"""
)
"""KEYS: the session. ARGV: hash of the token, that of the next, how long the record is kept in ms, how long it is
leased in ms, how many used tokens are remembered, tenant. A take-over that was done, but whose answer was lost with the
connection, may be sent again. Hashes of 256 random bits need no comparison in constant time: what
it tells of them leads to no token."""
RELEASE = (
    """
local fence = redis.call('HGET', KEYS[1], 'fence')
if not fence or tonumber(fence) > tonumber(ARGV[1]) then return 'nothing' end
if ARGV[3] == 'remove' then redis.call('HDEL', KEYS[1], 'record') end
redis.call('HSET', KEYS[1], 'leased_ms', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
"""
    + _CONFIRMED
    + "return 'released'"
)
"""KEYS: the session. ARGV: fence, `confirmed` or nothing, `keep` or `remove`, how long what is left is kept in ms.
Fence and token stay without the record, so that a holder of old can still not write."""


class RedisStore:
    """One pool of connections for all sessions of the process."""

    def __init__(self, url: str, keep_s: float) -> None:
        """Records are kept for `keep_s` seconds beyond their last renewal. Connects with the first call."""
        self._keep_ms = round(1000 * keep_s)
        self._lease_ms = round(1000 * LEASE_S)
        scripts = {"save": SAVE, "renew": RENEW, "take_over": TAKE_OVER, "release": RELEASE}
        self._scripts = RedisScripts(url, scripts, connections=CONNECTIONS)

    async def save(self, hold: Hold, record: bytes) -> None:
        """Write the record; see SessionStore."""
        if len(record) > RECORD_BYTES:
            raise StoreUnavailable(f"a record of {len(record)} bytes is above the limit of {RECORD_BYTES}")
        arguments = (hold.token_hash, record, self._keep_ms, self._lease_ms, hold.tenant)
        _require_held(await self._held("save", hold, *arguments))

    async def renew(self, hold: Hold) -> bool:
        """Renew the lease; see SessionStore."""
        answer = await self._held("renew", hold, self._keep_ms, self._lease_ms)
        _require_held(answer)
        return bool(answer == b"renewed")

    async def take_over(self, session_id: str, token_hash: str, next_hash: str, tenant: str = "") -> Taken:
        """Consume a token; see SessionStore."""
        arguments = (token_hash, next_hash, self._keep_ms, self._lease_ms, USED_TOKENS, tenant)
        answer, *taken = await self._scripts.run("take_over", PREFIX + session_id, *arguments)
        if answer != b"taken":
            raise TokenRefused(answer.decode())
        fence, record, was_held = taken
        hold = Hold(session_id, int(fence), next_hash, tenant, is_confirmed=False)
        return Taken(hold, record, bool(was_held))

    async def release(self, hold: Hold, *, keep: bool) -> None:
        """End the lease; see SessionStore."""
        await self._held("release", hold, "keep" if keep else "remove", self._keep_ms)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._scripts.aclose()

    async def _held(self, script: str, hold: Hold, *arguments: object) -> Any:
        """Run a script of a holder. Raises StoreUnavailable."""
        confirmed = "confirmed" if hold.is_confirmed else ""
        return await self._scripts.run(script, PREFIX + hold.session_id, hold.fence, confirmed, *arguments)


def _require_held(answer: bytes) -> None:
    if answer == b"taken_over":
        raise SessionTakenOver
