"""Streams that are left, and those that go on with their sessions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from avatar.v1 import ConverseConfig, PlaybackReport, Resume, SessionStarted
from tests.service.calls import Call, Server
from tests.service.responses import DEADLINE_S


@asynccontextmanager
async def begun(server: Server, **fields: Any) -> AsyncIterator[tuple[Call, SessionStarted]]:
    """A stream whose client vanishes at the end of the block; what it held is given back by then."""
    call = server.converse()
    await call.configure(**fields)
    tasks = len(asyncio.all_tasks())
    yield call, call.only("session_started")
    if not call.call.done():
        call.call.cancel()
        async with asyncio.timeout(DEADLINE_S):
            while not server.fakes.idle or len(asyncio.all_tasks()) >= tasks:
                await asyncio.sleep(0.005)


async def resumed(server: Server, token: str, **playback: Any) -> tuple[Call, SessionStarted]:
    """A stream that goes on with a session."""
    call = server.converse()
    resume = Resume(resume_token=token, playback=PlaybackReport(**playback) if playback else None)
    await call.send(config=ConverseConfig(resume=resume))
    return call, await call.until("session_started")
