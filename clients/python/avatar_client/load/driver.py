"""Runs a load: its users, their connections, and a watch over the driver itself."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final

from avatar.v1 import ConverseConfig
from avatar_client.client import AsyncAvatarClient
from avatar_client.clock import now
from avatar_client.configs import audio_format
from avatar_client.load.distribution import Distribution
from avatar_client.load.measuring import Book
from avatar_client.load.plan import Plan, user_plans
from avatar_client.load.questions import RATE_HZ, Question, default_question
from avatar_client.load.report import Driver, LoadReport
from avatar_client.load.user import Load, User

LAG_EVERY_S: Final = 0.02
"""How often the driver looks how late its own event loop is."""
STOP_WITHIN_S: Final = 45.0
"""How long the sessions may take to end once the load is over: a question that was just begun, its answer, a slow
reader's pause in it, or an interruption and the answer to that."""


async def run_load(
    plan: Plan,
    connect: Callable[[], AsyncAvatarClient],
    *,
    config: ConverseConfig | None = None,
    questions: Sequence[Question] = (),
    stopping: asyncio.Event | None = None,
    on_start: Callable[[Book], None] | None = None,
) -> LoadReport:
    """Put a load on the service that `connect` makes clients for, and tell what it showed.

    `config` is that of every session, but for the input format; `questions` are asked by voice where the plan has no
    texts, in turn, by default the recorded one that comes with the client. Setting `stopping` ends the load early and
    politely. `on_start` is given the book that is written while the load runs.
    """
    stopping = stopping or asyncio.Event()
    load = Load(plan, _config(config, plan), questions or (default_question(),), Book(), stopping)
    if on_start:
        on_start(load.book)
    watch = _DriverWatch()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        clients = [await stack.enter_async_context(connect()) for _ in range(plan.sessions)]  # a connection each
        beside = [tasks.create_task(watch.run(), name="driver's lag")]
        if plan.duration_s is not None:
            beside.append(tasks.create_task(_stop_after(plan.duration_s, stopping), name="duration"))
        users = [
            tasks.create_task(User(load, user, clients[user.number]).run(), name="user") for user in user_plans(plan)
        ]
        await _all_ended(users, stopping)
        for task in (*users, *beside):
            task.cancel()
    return LoadReport(plan, load.book, now() - load.book.began_at, watch.result())


def _config(config: ConverseConfig | None, plan: Plan) -> ConverseConfig:
    request = ConverseConfig()
    request.CopyFrom(config or request)
    if not plan.texts:
        request.input_audio.CopyFrom(audio_format("LINEAR16", RATE_HZ))
    return request


async def _stop_after(seconds: float, stopping: asyncio.Event) -> None:
    await asyncio.sleep(seconds)
    stopping.set()


async def _all_ended(users: "Sequence[asyncio.Task[None]]", stopping: asyncio.Event) -> None:
    """Wait for the users; once the load is over, only as long as it takes to leave politely."""

    async def overdue() -> None:
        await stopping.wait()
        await asyncio.sleep(STOP_WITHIN_S)

    patience = asyncio.create_task(overdue())
    left = set(users)
    try:
        while left and not patience.done():
            await asyncio.wait({*left, patience}, return_when=asyncio.FIRST_COMPLETED)
            left = {user for user in left if not user.done()}
    finally:
        patience.cancel()
        with suppress(asyncio.CancelledError):
            await patience


class _DriverWatch:
    """Whether the driver itself keeps up: what it measures late is no fault of the service."""

    def __init__(self) -> None:
        self._lag_ms = Distribution()
        self._began_at = now()
        self._cpu_s = time.process_time()

    async def run(self) -> None:
        """Sample the lag of the event loop until cancelled."""
        while True:
            due_at = now() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self._lag_ms.add(max(0.0, now() - due_at) * 1e3)

    def result(self) -> Driver:
        """What was seen so far."""
        elapsed_s = max(now() - self._began_at, 1e-9)
        return Driver(self._lag_ms, (time.process_time() - self._cpu_s) / elapsed_s)
