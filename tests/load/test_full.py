"""A service that is full: whoever comes next is refused politely, and those who are there notice nothing."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from avatar_client.client import AsyncAvatarClient
from avatar_client.errors import LimitReached
from avatar_client.load import LoadReport, Plan, run_load
from avatar_client.load.measuring import Book
from tests.load.conftest import ANSWER, faults, idle
from tests.stack import ServiceProcess, replay_of, running_stack

PLACES = 8
"""Sessions that the service takes."""
COMERS = 30
"""How many come while it is full."""
MORE_MISSED = 0.05
"""Share of the frames that may be held, shed or late beyond what they are without comers: other tests share the
machine, and take from both runs."""
FRAME_MS = 40.0
"""From one frame to the next at 25 a second."""
MOST_RETRY_S = 60.0


def missed(report: LoadReport) -> float:
    """Every answer was played to its end; the share of its frames that nobody saw in time."""
    figures = report.figures()
    assert not report.book.errors
    assert figures["turns_completed"] == figures["turns_begun"] == PLACES
    assert figures["turns_degraded"] == figures["questions_unanswered"] == figures["connections_lost"] == 0
    counts = report.book.counts
    assert counts["frames"]
    unseen = counts["held_frames"] + counts["shed_frames"]
    return (unseen + counts["late_frames"]) / (unseen + counts["frames"])


async def talking(service: ServiceProcess, meanwhile: bool) -> tuple[LoadReport, list[LimitReached], set[int]]:
    """So many conversations as there are places; `meanwhile` others come. Returns what those were told, and the states
    that the health service gave."""
    begun: asyncio.Future[Book] = asyncio.get_running_loop().create_future()
    refused: list[LimitReached] = []
    states: set[int] = set()

    async def come() -> None:
        book = await begun
        async with asyncio.timeout(30.0):
            while book.active < PLACES:
                await asyncio.sleep(0.05)
        async with AsyncAvatarClient(service.address) as client, grpc.aio.insecure_channel(service.address) as channel:
            for _ in range(COMERS):
                with pytest.raises(LimitReached) as told:
                    async with client.converse():
                        pass
                refused.append(told.value)
                states.add(await serving_state(channel))
                await asyncio.sleep(0.2)

    async with asyncio.TaskGroup() as tasks:
        if meanwhile:
            tasks.create_task(come())
        plan = Plan(sessions=PLACES, duration_s=None, turns=1, seed=1)
        load = tasks.create_task(run_load(plan, lambda: AsyncAvatarClient(service.address), on_start=begun.set_result))
    return load.result(), refused, states


async def serving_state(channel: grpc.aio.Channel) -> int:
    health: Any = health_pb2_grpc.HealthStub(channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=""))
    state: int = answer.status
    return state


async def test_whoever_comes_next_is_told_when_to_come_again_and_nobody_else_notices() -> None:
    replay = replay_of(ANSWER, last_token_s=0.5)
    async with running_stack(replay=replay, env={"AVATAR_MAX_SESSIONS": str(PLACES)}) as stack:
        service = stack.services[0]
        alone, none, _ = await talking(service, meanwhile=False)
        assert not none
        await idle(service)
        full, refused, states = await talking(service, meanwhile=True)
        assert missed(full) <= missed(alone) + MORE_MISSED
        assert len(refused) == COMERS
        assert {error.code for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert {error.reason for error in refused} == {"SESSIONS_EXHAUSTED"}
        assert all(0 < (error.retry_delay_s or 0.0) <= MOST_RETRY_S for error in refused)
        assert states == {health_pb2.HealthCheckResponse.SERVING}
        assert not faults(service)
        assert full.figures()["frame_gap_ms_p50"] == pytest.approx(FRAME_MS, rel=0.2)
        await idle(service)
        async with AsyncAvatarClient(service.address) as client, client.converse() as conversation:
            assert conversation.started.session_id  # there is a place again
