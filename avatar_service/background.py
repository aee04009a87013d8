"""A task that runs beside a block and ends with it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def running(task: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `task` during the block; at its end cancel it and wait until it has ended. If it fails, so does the block.

    An error of the block leaves it as it is, while that of a TaskGroup would come wrapped in a group.
    """
    group = asyncio.TaskGroup()
    await group.__aenter__()
    beside = group.create_task(task)
    try:
        yield
    finally:
        beside.cancel()
        await group.__aexit__(None, None, None)
