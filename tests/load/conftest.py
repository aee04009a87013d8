"""One service process, its vendors and its Triton replayed, for the tests of a module."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.load.usage import Usage, settled
from tests.stack import ServiceProcess, Stack, replay_of

ANSWER = "The moon is nearer than any star. It turns once while it goes around us, so that one face is all we see."
"""About six seconds of speech."""
SESSIONS = 60
"""Streams that the service takes at one time: more than a test has, unless it is about that."""
IDLE_WITHIN_S = 15.0


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    """A service process for the tests of a module."""
    stack = Stack(replay=replay_of(ANSWER, last_token_s=0.5), env={"AVATAR_MAX_SESSIONS": str(SESSIONS)})
    try:
        asyncio.run(stack.start())
        yield stack.services[0]
    finally:
        stack.close()


async def idle(service: ServiceProcess, tasks: int = 1_000) -> Usage:
    """What the service holds once no session is left, and no more tasks than these: probes have one at moments."""
    usage = await settled(service, lambda usage: usage.sessions == 0 and usage.tasks <= tasks, IDLE_WITHIN_S)
    assert usage.sessions == 0
    assert usage.tasks <= tasks
    return usage


def faults(service: ServiceProcess) -> list[str]:
    """Lines of the service's log that tell of a fault of its own."""
    marks = ("internal_error", "Traceback", "never awaited", "never retrieved", "Task was destroyed")
    return [line for line in service.program.output.splitlines() if any(mark in line for mark in marks)]
