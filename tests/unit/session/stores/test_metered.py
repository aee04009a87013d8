"""What is counted of a store of sessions, and of the resumes that it decides on."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from avatar_service.errors import NotFound, SessionTakenOver, StoreUnavailable
from avatar_service.session.saved import SavedSession
from avatar_service.session.sessions import Sessions
from avatar_service.session.stores.base import Hold, TokenRefused, new_token
from avatar_service.session.stores.metered import MeteredStore
from tests.fakes.session_store import FakeSessionStore
from tests.measuring import Growth

OPERATIONS = "avatar_store_operations_total"
RESUMES = "avatar_resumes_total"
KEEP_S = 120.0


def hold(fence: int = 1) -> Hold:
    return Hold("s-1", fence, "hash")


async def test_each_call_is_counted_by_how_it_ended() -> None:
    store, growth = MeteredStore(FakeSessionStore()), Growth()
    await store.save(hold(), b"")
    assert await store.renew(hold())
    await store.take_over("s-1", "hash", "next")
    with pytest.raises(SessionTakenOver):
        await store.save(hold(), b"")
    with pytest.raises(TokenRefused):
        await store.take_over("s-1", "hash", "next")
    await store.release(hold(2), keep=False)
    assert growth.of_all(OPERATIONS) == {
        ("save", "ok"): 1,
        ("renew", "ok"): 1,
        ("take_over", "ok"): 1,
        ("save", "taken_over"): 1,
        ("take_over", "refused"): 1,
        ("release", "ok"): 1,
    }


async def test_a_store_that_is_down_is_counted_with_the_time_that_it_took() -> None:
    growth = Growth()
    with pytest.raises(StoreUnavailable):
        await MeteredStore(FakeSessionStore(down=True)).save(hold(), b"")
    assert growth.of_all(OPERATIONS) == {("save", "unavailable"): 1}
    assert growth("avatar_store_operation_seconds_sum", operation="save") == pytest.approx(1.0)


async def test_a_call_that_is_given_up_is_none_of_the_stores_failures() -> None:
    growth = Growth()
    with suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await MeteredStore(FakeSessionStore(down=True)).renew(hold())
    assert growth.of_all(OPERATIONS) == {("renew", "cancelled"): 1}


async def left(sessions: Sessions, *, ended: bool = False) -> str:
    """The token of a session whose stream is over."""
    held = sessions.begin("s-0123456789abcdef")
    await sessions.store.save(held.hold, SavedSession().to_bytes())
    await sessions.store.release(held.hold, keep=not ended)
    return held.token


@pytest.mark.parametrize(
    ("outcome", "given"),
    [
        ("resumed", {}),
        ("taken_over", {"is_held": True}),
        ("expired", {"later_s": KEEP_S + 1}),
        ("not_found", {"ended": True}),
        ("not_found", {"token": new_token("s-0123456789abcdef")}),
        ("not_found", {"token": "no token"}),
        ("store_down", {"down": True}),
    ],
)
async def test_a_resume_is_counted_by_what_became_of_it(outcome: str, given: dict[str, Any]) -> None:
    store = FakeSessionStore()
    sessions, growth = Sessions(store), Growth()
    token = await left(sessions, ended=given.get("ended", False))
    if given.get("is_held"):
        await store.renew(sessions.begin("s-0123456789abcdef").hold)
    await asyncio.sleep(given.get("later_s", 0.0))
    store.down = given.get("down", False)
    with suppress(NotFound, StoreUnavailable):
        await sessions.resume(given.get("token", token))
    assert growth.of_all(RESUMES) == {(outcome,): 1}
