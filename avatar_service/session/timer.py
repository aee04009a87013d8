"""An input that comes by itself after a while."""

import asyncio

from avatar_service.channel import Channel
from avatar_service.session.inputs import Input


class Timer:
    """Sends one input at a time into a session's inbox; what is set later replaces what was set before."""

    def __init__(self, inbox: Channel[Input]) -> None:
        self._inbox = inbox
        self._task: asyncio.Task[None] | None = None

    def set(self, in_s: float, item: Input, tasks: asyncio.TaskGroup) -> None:
        """Send `item` in `in_s` seconds, unless this is stopped before."""
        self.stop()
        self._task = tasks.create_task(self._send(in_s, item))

    def stop(self) -> None:
        """Send nothing."""
        if self._task:
            self._task.cancel()
            self._task = None

    async def _send(self, in_s: float, item: Input) -> None:
        await asyncio.sleep(in_s)
        await self._inbox.send(item)
