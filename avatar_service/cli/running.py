"""How every command of the service runs: one event loop, uvloop's, and one clean end."""

import asyncio
import signal
import sys
from collections.abc import Coroutine

import uvloop

from avatar_service.errors import AvatarError


def run(command: Coroutine[object, object, None]) -> None:
    """Run a command until it ends or is told to stop by SIGINT or SIGTERM, which cancels it.

    Exits with status 1 and one line if it fails.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_told_to_stop(command))
    except AvatarError as error:
        sys.exit(f"error: {error}")


async def _until_told_to_stop(command: Coroutine[object, object, None]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(command)

    def stop() -> None:
        # Once: a second cancel would break off the clean-up of the first, which has deadlines of its own.
        if not task.cancelling():
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
