"""Connections to the vendors that are open before a turn needs them: a new one costs a turn three round trips."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping

from avatar_service import clock
from avatar_service.engines.attempt import Attempt
from avatar_service.errors import EngineError, EngineTimeout

STAGE = "warm"
USABLE_S = 60.0
"""How long a connection counts as open after it was warmed: servers and proxies close idle ones after 75 s and more,
the clients' pools after 120 s. So no vendor is asked more often than once in this time."""
DEADLINE_S = 5.0
"""Longest time that one opening may take; what comes later would come too late for the turn that it is for."""


class WarmConnections:
    """Opens a connection to each engine when told that a turn is near, while `run` runs."""

    def __init__(self, open_by_engine: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        """Per engine, what has a connection opened; it may raise EngineError."""
        self._open_by_engine = open_by_engine
        self._wanted = asyncio.Event()
        self._usable_until_s = -math.inf

    def warm(self) -> None:
        """Have connections opened, unless that was done within the last minute. Returns at once."""
        if clock.now() >= self._usable_until_s:
            self._usable_until_s = clock.now() + USABLE_S
            self._wanted.set()

    async def run(self) -> None:
        """Open connections whenever they are wanted; ends by a cancel alone."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            async with asyncio.TaskGroup() as tasks:
                for engine, open_connection in self._open_by_engine.items():
                    tasks.create_task(_open(engine, open_connection))


async def _open(engine: str, open_connection: Callable[[], Awaitable[None]]) -> None:
    try:
        with Attempt(STAGE, engine) as attempt:
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await open_connection()
            except TimeoutError as error:
                raise EngineTimeout(STAGE, engine, f"no answer within {DEADLINE_S:g} s") from error
            attempt.output()
    except EngineError:
        return  # Attempt has told it; the turn that needs the connection tells the user
