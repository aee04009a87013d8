"""How long the process's own memory keeps sessions, and how many; tests/integration/session has the rules of both
stores."""

import asyncio

import pytest

from avatar_service.errors import StoreUnavailable
from avatar_service.session.stores import memory
from avatar_service.session.stores.base import LEASE_S, Hold, TokenRefused
from avatar_service.session.stores.memory import MemoryStore

KEEP_S = 120.0


def hold(session_id: str) -> Hold:
    return Hold(session_id, 1, f"token of {session_id}")


async def is_kept(store: MemoryStore, session_id: str) -> bool:
    try:
        await store.take_over(session_id, f"token of {session_id}", f"token of {session_id}")
    except TokenRefused:
        return False
    return True


async def test_a_record_lives_for_its_time_beyond_the_last_renewal() -> None:
    store = MemoryStore(KEEP_S)
    await store.save(hold("renewed"), b"")
    await store.save(hold("left"), b"")
    await asyncio.sleep(1.0)
    await store.renew(hold("renewed"))
    await asyncio.sleep(KEEP_S - 0.5)
    assert not await is_kept(store, "left")
    assert await is_kept(store, "renewed")


async def test_a_lease_that_is_not_renewed_ends_before_the_record() -> None:
    store = MemoryStore(KEEP_S)
    await store.save(hold("a"), b"")
    await asyncio.sleep(LEASE_S + 0.1)
    assert not (await store.take_over("a", "token of a", "next")).was_held


@pytest.mark.parametrize("limit", [("RECORDS", 2), ("BYTES", 25)])
async def test_a_full_store_forgets_the_oldest_without_a_stream(
    monkeypatch: pytest.MonkeyPatch, limit: tuple[str, int]
) -> None:
    monkeypatch.setattr(memory, *limit)
    store = MemoryStore(KEEP_S)
    for session_id in ("live", "left"):
        await store.save(hold(session_id), bytes(10))
    await store.release(hold("left"), keep=True)
    await store.save(hold("new"), bytes(10))
    with pytest.raises(StoreUnavailable, match="full"):
        await store.save(hold("more"), bytes(10))
    assert await is_kept(store, "live")
    assert await is_kept(store, "new")
    assert not await is_kept(store, "left")


async def test_records_that_change_and_end_free_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "BYTES", 25)
    store = MemoryStore(KEEP_S)
    for size in (20, 5, 25):
        await store.save(hold("a"), bytes(size))
    await store.release(hold("a"), keep=False)
    await store.save(hold("b"), bytes(25))
    await asyncio.sleep(KEEP_S + 1.0)
    await store.save(hold("c"), bytes(25))
