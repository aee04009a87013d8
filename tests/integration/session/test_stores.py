"""Both stores of sessions, held to the same rules; that of Redis against a real redis-server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from redis.asyncio import Redis

from avatar_service.errors import SessionTakenOver, StoreUnavailable
from avatar_service.session.stores.base import (
    RECORD_BYTES,
    STORE_WITHIN_S,
    Hold,
    SessionStore,
    Taken,
    TokenRefused,
    hash_of,
    new_session_id,
    new_token,
)
from avatar_service.session.stores.memory import MemoryStore
from avatar_service.session.stores.redis import PREFIX, RedisStore
from tests.redis_server import RedisServer

KEEP_S = 100.0


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of store."""

    url: str
    """Of its Redis; empty for the process's memory."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[SessionStore]:
        store: SessionStore = RedisStore(self.url, KEEP_S) if self.url else MemoryStore(KEEP_S)
        try:
            yield store
        finally:
            await store.aclose()


@pytest.fixture(params=["memory", "redis"])
def kind(request: pytest.FixtureRequest, redis: RedisServer) -> Kind:
    return Kind(redis.url if request.param == "redis" else "")


def begun(tenant: str = "") -> tuple[Hold, str]:
    """The hold of a new session, and its token."""
    session_id = new_session_id()
    token = new_token(session_id)
    return Hold(session_id, 1, hash_of(token), tenant), token


async def confirmed(store: SessionStore, taken: Taken) -> Hold:
    """The hold of a take-over once the client has shown that it has the token."""
    hold = replace(taken.hold, is_confirmed=True)
    assert await store.renew(hold)
    return hold


async def refusal(taking: Awaitable[object]) -> str:
    with pytest.raises(TokenRefused) as refused:
        await taking
    return refused.value.why


def taking(store: SessionStore, token: str, next_token: str = "", tenant: str = "") -> Awaitable[Taken]:
    session_id = token.partition(".")[0]
    return store.take_over(session_id, hash_of(token), hash_of(next_token or new_token(session_id)), tenant)


async def test_a_session_is_taken_over_with_what_was_saved_last(kind: Kind) -> None:
    async with kind.open() as store:
        hold, token = begun()
        await store.save(hold, b"first")
        await store.save(hold, b"\x00last\xff")
        next_token = new_token(hold.session_id)
        taken = await taking(store, token, next_token)
        assert taken.record == b"\x00last\xff"
        assert taken.hold == Hold(hold.session_id, 2, hash_of(next_token), is_confirmed=False)
        assert taken.was_held


async def test_a_token_works_once_and_the_next_one_after_it(kind: Kind) -> None:
    async with kind.open() as store:
        hold, token = begun()
        await store.save(hold, b"record")
        second = new_token(hold.session_id)
        await confirmed(store, await taking(store, token, second))
        assert await refusal(taking(store, token)) == "used"
        third = new_token(hold.session_id)
        taken = await taking(store, second, third)
        assert taken.hold.fence == 3
        await confirmed(store, taken)
        assert await refusal(taking(store, token)) == "used"
        assert await refusal(taking(store, second)) == "used"
        assert (await taking(store, third)).hold.fence == 4


@pytest.mark.parametrize("how", ["save", "renew", "release"])
async def test_a_token_counts_again_once_its_stream_is_gone_unless_the_next_was_confirmed(kind: Kind, how: str) -> None:
    async def told(hold: Hold) -> None:
        match how:
            case "save":
                await store.save(hold, b"more")
            case "renew":
                assert await store.renew(hold)
        await store.release(hold, keep=True)

    async with kind.open() as store:
        hold, token = begun()
        await store.save(hold, b"record")
        taken = await taking(store, token)
        assert await refusal(taking(store, token)) == "unconfirmed"
        await told(taken.hold)
        again = await taking(store, token)
        assert not again.was_held
        assert again.hold.fence == taken.hold.fence + 1
        with pytest.raises(SessionTakenOver):
            await store.renew(taken.hold)
        await told(replace(again.hold, is_confirmed=True))
        assert await refusal(taking(store, token)) == "used"


async def test_the_token_that_was_given_last_counts_whether_it_was_confirmed_or_not(kind: Kind) -> None:
    async with kind.open() as store:
        hold, token = begun()
        await store.save(hold, b"record")
        second, third = new_token(hold.session_id), new_token(hold.session_id)
        await taking(store, token, second)
        assert (await taking(store, second, third)).was_held
        assert await refusal(taking(store, token)) == "used"
        assert await refusal(taking(store, second)) == "unconfirmed"
        assert (await taking(store, third)).record == b"record"


async def test_another_tenant_takes_nothing_over_and_uses_no_token_up(kind: Kind) -> None:
    async with kind.open() as store:
        hold, token = begun("acme")
        await store.save(hold, b"record")
        for tenant in ("other", ""):
            assert await refusal(taking(store, token, tenant=tenant)) == "foreign"
        assert await refusal(taking(store, new_token(hold.session_id), tenant="other")) == "mismatch"
        taken = await taking(store, token, tenant="acme")
        assert taken.hold.tenant == "acme"
        await store.release(taken.hold, keep=True)
        assert await refusal(taking(store, token, tenant="other")) == "foreign"
        assert (await taking(store, token, tenant="acme")).record == b"record"


async def test_of_two_that_come_with_one_token_one_gets_the_session(kind: Kind) -> None:
    async with kind.open() as store:
        hold, token = begun()
        await store.save(hold, b"record")
        answers = await asyncio.gather(*(taking(store, token) for _ in range(8)), return_exceptions=True)
        assert sum(isinstance(answer, Taken) for answer in answers) == 1
        assert sum(isinstance(answer, TokenRefused) for answer in answers) == 7


async def test_a_holder_that_was_left_behind_can_neither_save_nor_renew_nor_remove(kind: Kind) -> None:
    async with kind.open() as store:
        hold, token = begun()
        await store.save(hold, b"record")
        second = new_token(hold.session_id)
        taken = await taking(store, token, second)
        with pytest.raises(SessionTakenOver):
            await store.save(hold, b"stale")
        with pytest.raises(SessionTakenOver):
            await store.renew(hold)
        await store.release(hold, keep=False)
        assert await store.renew(taken.hold)
        assert (await taking(store, second)).record == b"record"


async def test_unknown_and_foreign_tokens_take_nothing_over(kind: Kind) -> None:
    async with kind.open() as store:
        hold, token = begun()
        await store.save(hold, b"record")
        assert await refusal(taking(store, begun()[1])) == "no_record"
        assert await refusal(taking(store, new_token(hold.session_id))) == "mismatch"
        assert (await taking(store, token)).record == b"record"


async def test_a_session_that_was_let_go_is_kept_and_held_by_nobody(kind: Kind) -> None:
    async with kind.open() as store:
        hold, token = begun()
        await store.save(hold, b"record")
        await store.release(hold, keep=True)
        taken = await taking(store, token)
        assert taken.record == b"record"
        assert not taken.was_held


async def test_a_session_that_is_over_leaves_nothing_to_resume_and_still_fences(kind: Kind) -> None:
    async with kind.open() as store:
        hold, token = begun()
        await store.save(hold, b"record")
        second = new_token(hold.session_id)
        taken = await taking(store, token, second)
        await store.release(taken.hold, keep=False)
        assert await refusal(taking(store, second)) == "ended"
        with pytest.raises(SessionTakenOver):
            await store.save(hold, b"stale")


async def test_a_record_that_the_store_has_lost_is_saved_again(kind: Kind) -> None:
    async with kind.open() as store:
        hold, token = begun()
        assert not await store.renew(replace(hold, fence=3))
        await store.save(replace(hold, fence=3), b"record")
        assert (await taking(store, token)).hold.fence == 4


async def test_a_record_above_the_limit_is_refused(kind: Kind) -> None:
    async with kind.open() as store:
        hold, _ = begun()
        await store.save(hold, bytes(RECORD_BYTES))
        with pytest.raises(StoreUnavailable, match="above the limit"):
            await store.save(hold, bytes(RECORD_BYTES + 1))


async def test_redis_lets_a_record_go_when_its_time_is_over_and_keeps_no_token(redis: RedisServer) -> None:
    async with Kind(redis.url).open() as store, Redis.from_url(redis.url) as client:
        hold, token = begun()
        key = PREFIX + hold.session_id
        for renewing in (store.save(hold, b"record"), store.renew(hold), store.release(hold, keep=True)):
            await client.persist(key)
            await renewing
            assert 0.9 * KEEP_S < await client.pttl(key) / 1000 <= KEEP_S
        stored = str(await client.hgetall(key))
        assert token.partition(".")[2] not in stored
        assert hash_of(token) in stored
        await store.release(hold, keep=False)
        assert not await client.hexists(key, "record")
        assert await client.pttl(key) > 0


async def test_in_redis_a_lease_that_is_not_renewed_ends(redis: RedisServer) -> None:
    async with Kind(redis.url).open() as store, Redis.from_url(redis.url) as client:
        hold, token = begun()
        await store.save(hold, b"record")
        leased_until_ms = float(await client.hget(PREFIX + hold.session_id, "leased_ms") or 0)
        seconds, microseconds = await client.time()
        assert 0 < leased_until_ms / 1000 - seconds - microseconds / 1e6 <= 5.0
        await client.hset(PREFIX + hold.session_id, "leased_ms", str(seconds * 1000 - 1))
        assert not (await taking(store, token)).was_held


async def test_a_take_over_whose_answer_was_lost_may_be_asked_for_again(redis: RedisServer) -> None:
    async with Kind(redis.url).open() as store:
        hold, token = begun()
        await store.save(hold, b"record")
        next_token = new_token(hold.session_id)
        first = await taking(store, token, next_token)
        again = await taking(store, token, next_token)
        assert (again.hold, again.record) == (first.hold, first.record)
        await confirmed(store, again)
        assert await refusal(taking(store, token)) == "used"


async def test_two_processes_share_what_lies_in_redis(redis: RedisServer) -> None:
    async with Kind(redis.url).open() as one, Kind(redis.url).open() as other:
        hold, token = begun()
        await one.save(hold, b"record")
        assert (await taking(other, token)).record == b"record"
        with pytest.raises(SessionTakenOver):
            await one.renew(hold)


async def test_a_cancel_that_the_library_drops_is_a_cancel_all_the_same(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = asyncio.Event()

    async def drops(**arguments: object) -> bytes:
        try:
            waits.set()
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            pass
        return b"renewed"

    store = RedisStore(redis.url, KEEP_S)
    monkeypatch.setitem(store._scripts._scripts, "renew", drops)
    renewing = asyncio.create_task(store.renew(begun()[0]))
    await waits.wait()
    renewing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await renewing
    await store.aclose()


async def test_a_redis_that_is_gone_is_an_error_and_its_return_is_noticed() -> None:
    loop = asyncio.get_running_loop()
    with RedisServer() as redis:
        async with Kind(redis.url).open() as store:
            hold, token = begun()
            await store.save(hold, b"record")
            redis.stop()
            for call in (store.save(hold, b"more"), store.renew(hold), store.release(hold, keep=True)):
                with pytest.raises(StoreUnavailable, match="Redis: "):
                    await call
            redis.start()
            assert not await store.renew(hold)
            await store.save(hold, b"again")
            with redis.hanging():
                began_s = loop.time()
                with pytest.raises(StoreUnavailable):
                    await taking(store, token)
                assert loop.time() - began_s < 2 * STORE_WITHIN_S
