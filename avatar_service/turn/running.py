"""The stages of a turn side by side."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_stages(*stages: Coroutine[Any, Any, None]) -> None:
    """Run stages to their end, each in a task of its own. One that fails, or a cancel, ends all of them."""
    async with asyncio.TaskGroup() as group:
        # Awaited in the block: where a task fails while its group is being left, Python before 3.13 leaves a cancel
        # request behind, and whoever runs the turn would take itself for interrupted.
        await asyncio.wait([group.create_task(stage) for stage in stages])
