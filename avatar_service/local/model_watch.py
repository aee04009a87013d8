"""Notices when a model in Triton answers no more: by its process, at once, and by a small request, for all else."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from avatar_service.local.stubs import one_ended, stubs
from avatar_service.local.triton_models import MODEL, PREPARE, State, TritonModels

PROBE_S = {MODEL: 5.0, PREPARE: 30.0}
"""Time between requests to a model that is sound, in seconds: 1.5 ms of a core for a silent frame and 26 ms for the
weights of `prepare`, 0.1 % of a core together."""
FAILING_PROBE_S = 1.0
"""Time until the first request, and between those to a model that fails, in seconds."""
FAILURES = 2
"""Requests in a row that a model must fail. One that says its process is gone is enough."""
HUNG_S = 120.0
"""After so long without any answer a model hangs: as long as its start may take, much more than a batch on a slow CPU.
"""


class Watch(Protocol):
    """Looks after the models of one running server."""

    async def lost(self, model: str) -> str:
        """Wait until a model answers no more; returns why, in a word."""

    async def load(self, model: str) -> bool:
        """Load a model anew; returns whether it answers then."""


@dataclass(frozen=True, slots=True)
class ModelWatch:
    """Looks after the models of the server with this pid."""

    models: TritonModels
    server_pid: int

    async def lost(self, model: str) -> str:
        """Wait until a model answers no more; returns why, in a word."""
        async with asyncio.TaskGroup() as tasks:
            ended, failing = tasks.create_task(self._ended(model)), tasks.create_task(self._failing(model))
            done, _ = await asyncio.wait({ended, failing}, return_when=asyncio.FIRST_COMPLETED)
            for task in (ended, failing):
                task.cancel()
        return done.pop().result()

    async def load(self, model: str) -> bool:
        """Load a model anew; returns whether it answers then."""
        try:
            async with asyncio.timeout(HUNG_S):
                return await self.models.load(model)
        except TimeoutError:
            return False

    async def _ended(self, model: str) -> str:
        """Wait until a process of the model has ended that was not replaced by another."""
        pids = stubs(self.server_pid, model)
        while True:
            await one_ended(pids)
            left = stubs(self.server_pid, model)
            if not left - pids:  # another one is there where somebody has loaded the model again
                return "ended"
            pids = left

    async def _failing(self, model: str) -> str:
        """Wait until the model fails requests, or lets one hang."""
        failures, wait_s = 0, FAILING_PROBE_S  # its process may have ended before it could be watched
        while True:
            await asyncio.sleep(wait_s)
            try:
                async with asyncio.timeout(HUNG_S):
                    state = await self.models.state(model)
            except TimeoutError:
                return "hangs"
            if state is State.DEAD:
                return "ended"
            failures = failures + 1 if state is State.FAILS else 0
            wait_s = FAILING_PROBE_S if failures else PROBE_S[model]
            if failures == FAILURES:
                return "fails"
