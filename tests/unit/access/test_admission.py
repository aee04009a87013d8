"""Room for sessions."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from avatar_service.access.admission import HEARD_OUT, UPLOADING, Admission, Place
from avatar_service.access.identity import ANYBODY, Identity
from avatar_service.errors import OverloadError, ServerStopping

ACME, OTHER = Identity(tenant="acme"), Identity(tenant="other")


class Calls(AsyncExitStack):
    """Calls that are held until the end of the block."""

    def __init__(self, admission: Admission) -> None:
        super().__init__()
        self._admission = admission

    async def hold(self, session_id: str, method: str = "Speak", identity: Identity = ANYBODY) -> Place:
        return await self.enter_async_context(self._admission.admit(method, identity, session_id))

    async def refused(self, session_id: str, method: str = "Speak", identity: Identity = ANYBODY) -> OverloadError:
        with pytest.raises(OverloadError) as refused:
            await self.hold(session_id, method, identity)
        return refused.value


async def refused_at_last(place: Place, session_id: str) -> str:
    """Why a call is refused that has said which session it is for."""
    with pytest.raises(OverloadError) as refused:
        await place.settle(session_id)
    return refused.value.reason


async def test_as_many_as_fit_are_taken_in_and_one_more_is_refused() -> None:
    admission = Admission(2)
    async with Calls(admission) as calls:
        await calls.hold("a")
        await calls.hold("b")
        refusal = await calls.refused("c")
        assert (str(refusal), refusal.reason) == ("all 2 sessions are taken", "SESSIONS_EXHAUSTED")
        assert refusal.retry_after_s is not None
        assert refusal.retry_after_s > 0
        assert admission.sessions == 2
    assert admission.sessions == 0


async def test_a_place_is_given_back_however_its_session_ends() -> None:
    admission = Admission(1, per_tenant=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with admission.admit("Speak", ACME, "a"):
                raise ZeroDivisionError
    async with admission.admit("Speak", ACME, "a"):
        assert admission.sessions == 1


async def test_a_tenant_has_so_many_places_and_leaves_those_of_others_alone() -> None:
    async with Calls(Admission(10, per_tenant=2)) as calls:
        await calls.hold("a", identity=ACME)
        await calls.hold("b", identity=ACME)
        refusal = await calls.refused("c", identity=ACME)
        assert (str(refusal), refusal.reason) == ("all 2 sessions of this tenant are taken", "QUOTA_EXHAUSTED")
        assert refusal.retry_after_s is not None
        await calls.hold("d", identity=OTHER)
        await calls.hold("e", identity=OTHER)


async def test_what_a_tenant_was_refused_does_not_take_the_place_of_another() -> None:
    async with Calls(Admission(2, per_tenant=1)) as calls:
        await calls.hold("a", identity=ACME)
        await calls.refused("b", identity=ACME)
        await calls.hold("c", identity=OTHER)


@pytest.mark.parametrize(("limit", "per_tenant"), [(2, 0), (10, 2)])
async def test_a_session_that_a_stream_still_holds_is_resumed_where_every_place_is_taken(
    limit: int, per_tenant: int
) -> None:
    admission = Admission(limit, per_tenant=per_tenant)
    async with Calls(admission) as calls:
        async with Calls(admission) as old:
            await old.hold("a", "Converse", ACME)
            await calls.hold("b", "Converse", ACME)
            place = await calls.hold("new", "Converse", ACME)
            await place.settle("a")
            assert admission.sessions == 3
        last = await calls.hold("c", "Converse", ACME)
        reason = await refused_at_last(last, "c")
        assert reason == ("QUOTA_EXHAUSTED" if per_tenant else "SESSIONS_EXHAUSTED")


async def test_a_session_without_a_stream_needs_a_place_to_be_resumed() -> None:
    async with Calls(Admission(1)) as calls:
        await calls.hold("a", "Converse")
        place = await calls.hold("new", "Converse")
        assert await refused_at_last(place, "left") == "SESSIONS_EXHAUSTED"


async def test_a_stream_with_a_place_resumes_with_this_one() -> None:
    async with Calls(Admission(2)) as calls:
        await calls.hold("a", "Converse")
        place = await calls.hold("new", "Converse")
        await place.settle("left")
        await calls.refused("c")


async def test_who_is_heard_out_takes_a_place_that_has_become_free_meanwhile() -> None:
    admission = Admission(1)
    async with Calls(admission) as calls:
        async with admission.admit("Speak", ANYBODY, "a"):
            place = await calls.hold("b", "Converse")
        await place.settle("b")
        await calls.refused("c")


async def test_who_is_heard_out_keeps_nobody_from_a_place() -> None:
    admission = Admission(1)
    async with Calls(admission) as calls:
        async with admission.admit("Speak", ANYBODY, "a"):
            await calls.hold("b", "Converse")
        await calls.hold("c")


async def test_only_so_many_are_heard_out() -> None:
    async with Calls(Admission(1)) as calls:
        await calls.hold("a")
        for number in range(HEARD_OUT):
            await calls.hold(f"waits-{number}", "Converse")
        assert (await calls.refused("b", "Converse")).reason == "SESSIONS_EXHAUSTED"


async def test_uploads_are_bounded_elsewhere_and_hold_up_a_stop() -> None:
    admission = Admission(1, per_tenant=1)
    async with Calls(admission) as calls:
        await calls.hold("", UPLOADING, ACME)
        await calls.hold("", UPLOADING, ACME)
        await calls.hold("a", identity=ACME)
        assert admission.sessions == 3


async def test_a_draining_server_takes_in_nobody_and_keeps_whom_it_has() -> None:
    admission = Admission(5)
    async with Calls(admission) as calls:
        await calls.hold("a")
        admission.drain()
        for method in ("Speak", "Converse", UPLOADING):
            assert (await calls.refused("b", method)).reason == "DRAINING"
        assert admission.sessions == 1


async def test_calls_that_are_left_at_the_end_of_a_stop_are_ended() -> None:
    admission = Admission(5)

    async def served(session_id: str) -> None:
        async with admission.admit("Speak", ANYBODY, session_id):
            await asyncio.sleep(1e6)

    calls = [asyncio.create_task(served(name)) for name in ("a", "b")]
    await asyncio.sleep(1.0)
    admission.close()
    admission.close()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in ended] == [ServerStopping, ServerStopping]
    assert admission.sessions == 0


async def test_a_time_limit_within_a_call_is_its_own() -> None:
    with pytest.raises(TimeoutError):
        async with Admission(1).admit("Speak", ANYBODY, "a"), asyncio.timeout(1.0):
            await asyncio.sleep(2.0)


async def test_who_asked_is_told_of_the_drain_and_who_has_gone_is_not() -> None:
    admission, told = Admission(5), list[str]()
    with admission.telling(lambda: told.append("stays")):
        with admission.telling(lambda: told.append("gone")):
            pass
        assert told == []
        admission.drain()
        assert told == ["stays"]


async def test_who_comes_while_it_drains_is_told_at_once() -> None:
    admission, told = Admission(5), list[str]()
    admission.drain()
    with admission.telling(lambda: told.append("late")):
        assert told == ["late"]


async def test_waiting_for_the_last_session_ends_when_it_ends() -> None:
    admission = Admission(2)
    await admission.emptied()
    async with asyncio.TaskGroup() as tasks:
        async with Calls(admission) as calls:
            await calls.hold("a")
            waiting = tasks.create_task(admission.emptied())
            async with admission.admit("Speak", ANYBODY, "b"):
                await asyncio.sleep(1.0)
            await asyncio.sleep(1.0)
            assert not waiting.done()
        await waiting
