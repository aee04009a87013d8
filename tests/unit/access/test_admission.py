"""Room for sessions."""

import asyncio
from contextlib import ExitStack

import pytest

from avatar_service.access.admission import Admission
from avatar_service.errors import OverloadError


def test_as_many_as_fit_are_taken_in_and_one_more_is_refused() -> None:
    admission = Admission(2)
    with ExitStack() as sessions:
        for _ in range(2):
            sessions.enter_context(admission.admit())
        with pytest.raises(OverloadError, match="all 2 sessions") as refused, admission.admit():
            pass
        assert refused.value.reason == "SESSIONS_EXHAUSTED"
        assert refused.value.retry_after_s is not None
        assert refused.value.retry_after_s > 0
        assert admission.sessions == 2
    assert admission.sessions == 0


def test_a_place_is_given_back_however_its_session_ends() -> None:
    admission = Admission(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), admission.admit():
            raise ZeroDivisionError
    with admission.admit():
        assert admission.sessions == 1


def test_a_draining_server_takes_in_nobody_and_keeps_whom_it_has() -> None:
    admission = Admission(5)
    with admission.admit():
        admission.drain()
        with pytest.raises(OverloadError) as refused, admission.admit():
            pass
        assert refused.value.reason == "DRAINING"
        assert admission.sessions == 1


def test_who_asked_is_told_of_the_drain_and_who_has_gone_is_not() -> None:
    admission, told = Admission(5), list[str]()
    with admission.telling(lambda: told.append("stays")):
        with admission.telling(lambda: told.append("gone")):
            pass
        assert told == []
        admission.drain()
        assert told == ["stays"]


def test_who_comes_while_it_drains_is_told_at_once() -> None:
    admission, told = Admission(5), list[str]()
    admission.drain()
    with admission.telling(lambda: told.append("late")):
        assert told == ["late"]


async def test_waiting_for_the_last_session_ends_when_it_ends() -> None:
    admission = Admission(2)
    await admission.emptied()
    async with asyncio.TaskGroup() as tasks:
        with ExitStack() as sessions:
            sessions.enter_context(admission.admit())
            waiting = tasks.create_task(admission.emptied())
            with admission.admit():
                await asyncio.sleep(1.0)
            await asyncio.sleep(1.0)
            assert not waiting.done()
        await waiting
