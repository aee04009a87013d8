"""Users come, talk, interrupt, read slowly and go, for a minute or an hour: what the service holds stays flat."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import grpc
import pytest

from avatar.v1 import AvatarServiceStub, ConverseConfig, ConverseRequest, Say
from avatar_client.client import AsyncAvatarClient
from avatar_client.load import LoadReport, Plan, run_load
from tests.load.conftest import faults, idle
from tests.load.usage import Usage
from tests.stack import ServiceProcess

SOAK = Plan(sessions=10, ramp_s=3.0, duration_s=60.0, turns=2, barge_ins=0.3, slow_readers=0.2, seed=7)
"""Voices, answers, barge-ins, slow readers; every session ends after two questions, and another begins."""
WARM_UP_S = 10.0
"""Of the soak: then every kind of thing has happened once."""
LOOK_EVERY_S = 5.0
GROWTH_MB = 15.0
"""Of resident memory, however long it goes on. What the load holds in its last third, and what is left when it is over,
are compared with the first third: an allocator keeps what the first sessions once needed."""
SESSION_MB = 6.0
"""Most that a session may hold at any moment: media of its lead, a slow reader's in gRPC, what is rendered ahead."""
MORE_DESCRIPTORS, MORE_THREADS = 40, 4
"""How far the load itself makes them swing: each session has its connection, and one or two to vendors."""
TASKS_A_SESSION = 20
"""More than a session that speaks has."""
OPENED, AT_ONCE = 1_000, 20


async def watched(service: ServiceProcess, seen: list[Usage]) -> None:
    """Look at the service until cancelled."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        seen.append(await Usage.of(service))


async def soaked(service: ServiceProcess, plan: Plan) -> tuple[LoadReport, Sequence[Usage]]:
    seen: list[Usage] = []
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watched(service, seen))
        report = await run_load(plan, lambda: AsyncAvatarClient(service.address))
        watching.cancel()
    return report, seen[round(WARM_UP_S / LOOK_EVERY_S) :]


async def stays_flat(service: ServiceProcess, plan: Plan) -> None:
    await run_load(replace(plan, duration_s=WARM_UP_S), lambda: AsyncAvatarClient(service.address))
    before = await idle(service)
    report, seen = await soaked(service, plan)
    after = await idle(service, before.tasks)
    figures = report.figures()
    looks = [f"{usage.rss_mb:.0f}" for usage in seen]
    print(before, *seen[:: max(1, len(seen) // 6)], after, figures, f"MB: {' '.join(looks)}", sep="\n")  # noqa: T201
    assert not report.book.errors
    assert figures["sessions_ended"] == figures["sessions_begun"]
    assert figures["turns_failed"] == figures["questions_unanswered"] == figures["stale_media"] == 0
    assert all(figures[name] for name in ("turns_completed", "barge_ins", "slow_readings"))
    for usage in (*seen, after):
        assert usage.rss_mb <= before.rss_mb + plan.sessions * SESSION_MB
        assert usage.descriptors <= before.descriptors + MORE_DESCRIPTORS
        assert usage.threads <= before.threads + MORE_THREADS
        assert usage.tasks <= before.tasks + plan.sessions * TASKS_A_SESSION
    third = len(seen) // 3
    assert max(middle_mb(seen[-third:]), after.rss_mb) <= middle_mb(seen[:third]) + GROWTH_MB
    assert not faults(service)


def middle_mb(looks: Sequence[Usage]) -> float:
    """The median of the resident memory."""
    return median(usage.rss_mb for usage in looks)


async def test_a_minute_of_users_who_come_and_go_leaves_nothing(service: ServiceProcess) -> None:
    await stays_flat(service, SOAK)


@pytest.mark.full
@pytest.mark.timeout(4_200)
async def test_an_hour_of_users_who_come_and_go_leaves_nothing(service: ServiceProcess) -> None:
    await stays_flat(service, replace(SOAK, duration_s=3_600.0, turns=5))


async def test_a_thousand_sessions_opened_and_closed_leave_nothing(service: ServiceProcess) -> None:
    """Half of them say a word, half of them go without one; some half-close, some are cut."""
    async with grpc.aio.insecure_channel(service.address) as channel:
        await opened_and_closed(channel, 100)
        before = await idle(service)
        await opened_and_closed(channel, OPENED)
    after = await idle(service, before.tasks)
    print(before, after, sep="\n")  # noqa: T201
    assert after.rss_mb <= before.rss_mb + GROWTH_MB
    assert after.descriptors <= before.descriptors + AT_ONCE
    assert after.threads <= before.threads + MORE_THREADS
    assert not faults(service)


async def opened_and_closed(channel: grpc.aio.Channel, sessions: int) -> None:
    numbers = iter(range(sessions))

    async def user() -> None:
        for number in numbers:
            await session(channel, number)

    async with asyncio.TaskGroup() as users:
        for _ in range(AT_ONCE):
            users.create_task(user())


async def session(channel: grpc.aio.Channel, number: int) -> None:
    """Begin a session and end it in one of four ways."""
    says, half_closes = number % 2 == 0, number % 4 < 2
    method: Any = AvatarServiceStub(channel).Converse  # typed as if the requests had to be given beforehand
    call = method()
    await call.write(ConverseRequest(config=ConverseConfig()))
    if says:
        await call.write(ConverseRequest(say=Say(text="Yes.")))
    first = await call.read()
    assert first.WhichOneof("payload") == "session_started"
    if not half_closes:
        call.cancel()
        return
    await call.done_writing()
    async with asyncio.timeout(30.0):
        while await call.read() is not grpc.aio.EOF:
            pass
    assert await call.code() is grpc.StatusCode.OK
