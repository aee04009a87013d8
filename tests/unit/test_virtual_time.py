"""The clock of the other tests."""

import asyncio

import pytest

from tests.virtual_time import START_S, Deadlock, run


async def test_an_hour_passes_at_once_and_timers_fire_in_order() -> None:
    fired: list[float] = []
    loop = asyncio.get_running_loop()
    for at_s in (3600.0, 1.0, 60.0):
        loop.call_later(at_s, fired.append, at_s)
    await asyncio.sleep(3600.0)
    assert fired == [1.0, 60.0, 3600.0]
    assert loop.time() == pytest.approx(START_S + 3600.0)


async def test_deadlines_pass_in_virtual_time() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10.0):
            await asyncio.sleep(11.0)


def test_waiting_for_what_never_comes_is_reported_at_once() -> None:
    async def wait_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    loop_error = pytest.raises(Deadlock, match="wait_for_ever")
    with loop_error:
        run(wait_for_ever())
