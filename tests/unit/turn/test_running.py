"""The stages of a turn side by side."""

import asyncio

import pytest

from avatar_service.errors import EngineUnavailable
from avatar_service.turn.running import run_stages


async def works(duration_s: float, ended: list[str], name: str) -> None:
    try:
        await asyncio.sleep(duration_s)
    finally:
        ended.append(name)


async def fails(after_s: float) -> None:
    await asyncio.sleep(after_s)
    raise EngineUnavailable("speak", "fake", "gone")


async def test_it_returns_when_the_last_stage_has_ended() -> None:
    ended: list[str] = []
    await run_stages(works(2.0, ended, "second"), works(1.0, ended, "first"))
    assert ended == ["first", "second"]


@pytest.mark.parametrize("after_s", [0.0, 1.0, 5.0], ids=["first", "between", "last"])
async def test_one_that_fails_ends_all_and_leaves_its_task_as_it_was(after_s: float) -> None:
    ended: list[str] = []
    with pytest.raises(ExceptionGroup) as failed:
        await run_stages(works(0.5, ended, "a"), fails(after_s), works(5.0, ended, "b"))
    assert failed.group_contains(EngineUnavailable)
    assert sorted(ended) == ["a", "b"]
    task = asyncio.current_task()
    assert task
    assert task.cancelling() == 0, "whoever runs the turn was not interrupted"
    await asyncio.sleep(1.0)


async def test_a_cancel_ends_all_and_is_passed_on() -> None:
    ended: list[str] = []
    running = asyncio.create_task(run_stages(works(5.0, ended, "a"), works(9.0, ended, "b")))
    await asyncio.sleep(1.0)
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    assert sorted(ended) == ["a", "b"]
