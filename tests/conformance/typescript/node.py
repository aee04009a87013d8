"""Programs of the TypeScript client, as child processes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.conformance import runners

DIST = runners.TYPESCRIPT / "dist"
END_S = 60.0


async def node(program: str, *arguments: str | Path) -> tuple[int, str]:
    """Run a program of `dist`; returns its exit code and what it printed, both streams together."""
    async with _running(program, *arguments, stderr=asyncio.subprocess.STDOUT) as process:
        async with asyncio.timeout(END_S):
            output, _ = await process.communicate()
        return process.returncode or 0, output.decode()


@asynccontextmanager
async def telling(*arguments: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """What `examples/events.js` prints, event by event."""
    async with _running("examples/events.js", *arguments) as process:
        yield _events(process)


async def told(*arguments: str) -> list[dict[str, Any]]:
    """All that `examples/events.js` prints."""
    async with telling(*arguments) as events:
        return [event async for event in events]


async def _events(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout is not None
    async with asyncio.timeout(END_S):
        async for line in process.stdout:
            yield json.loads(line)
        await process.wait()


@asynccontextmanager
async def _running(
    program: str, *arguments: str | Path, stderr: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    command = ("node", DIST / program, *arguments)
    limit = 1 << 20  # a line holds a whole configuration
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=stderr, limit=limit)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
