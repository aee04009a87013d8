"""A session whose store is in trouble: a real Redis, broken and mended while the session talks."""

import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from redis.asyncio import Redis

from avatar.v1 import ConverseConfig, Resume, Stage
from tests.chaos.cells import Cell, StoreTrouble
from tests.chaos.playing import nothing_leaks, opened, reasons, works
from tests.chaos.system import System, running_system
from tests.redis_server import RedisServer
from tests.service.calls import Call


async def play_store(cell: Cell, trouble: StoreTrouble, folder: Path) -> None:
    """A turn before, in and after the trouble; the session can be resumed then."""
    with RedisServer() as redis:
        async with running_system(folder / "store", sessions={"redis_url": redis.url}) as system:
            warm = await opened(system)
            await works(warm)
            await warm.finish()
            async with nothing_leaks(system):
                await _talk(system, trouble, redis)


async def _talk(system: System, trouble: StoreTrouble, redis: RedisServer) -> None:
    call = await opened(system)
    token = call.only("session_started").resume_token
    async with _troubled(trouble, redis):
        await works(call)
        if trouble.told:
            lost = call.all("notice") or [await call.until("notice")]
            assert reasons(notice.reason for notice in lost) == ("NOT_RESUMABLE",)
            assert lost[0].stage == Stage.STAGE_STORE
            refused = await _resumed(system, token)
            assert await refused.end() is grpc.StatusCode.UNAVAILABLE
            assert (await refused.status()).error_info.reason == "STORE_UNAVAILABLE"
    if trouble.told:
        assert reasons([(await call.until("notice")).reason]) == ("RESUMABLE",)
    await works(call)
    call.call.cancel()
    again = await _resumed(system, token)
    assert (await again.until("session_started")).last_turn_id == 2
    assert await again.finish() is grpc.StatusCode.OK


async def _resumed(system: System, token: str) -> Call:
    call = system.converse()
    await call.send(config=ConverseConfig(resume=Resume(resume_token=token)))
    return call


@asynccontextmanager
async def _troubled(trouble: StoreTrouble, redis: RedisServer) -> AsyncIterator[None]:
    if trouble.hangs:
        with redis.hanging():
            yield
        return
    if trouble.killed:
        redis.stop()
        yield
        redis.start()
        return
    commands: Any
    async with Redis.from_url(redis.url) as commands:
        for command in trouble.breaks:
            await commands.execute_command(*shlex.split(command))
        yield
        for command in trouble.mends:
            await commands.execute_command(*shlex.split(command))
