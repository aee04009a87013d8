"""A real Triton with a light model, looked after: what is killed comes back, and an end at any time leaves nothing."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from avatar_service.local.stubs import stubs
from avatar_service.local.supervisor import supervised_triton
from avatar_service.local.triton_models import MODEL
from tests.fakes.run_light_triton import LIGHT, loaded
from tests.integration.test_triton_server import assert_nothing_left, group, traces

WAIT_S = 60.0
WATCHED = replace(LIGHT, probe=None, stop_timeout_s=1.0)
"""Ready when its model answers; at its end Triton waits for a model whose process was killed as long as it may."""


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await holds():
            await asyncio.sleep(0.02)


async def test_a_killed_server_is_back_on_its_ports_and_nothing_of_the_first_is_left() -> None:
    async with supervised_triton(WATCHED) as supervisor:
        first, first_pid = supervisor.server, supervisor.server.pid
        (regions,) = {name.rpartition("-")[2] for name in traces(os.getpid()) if "/dev/shm" not in name}
        os.kill(first_pid, signal.SIGKILL)

        async def is_back() -> bool:
            return supervisor.server is not first and await loaded(first.grpc_address)

        await until(is_back)
        second = supervisor.server
        for name in ("grpc_address", "http_address", "metrics_address"):
            assert getattr(second, name) == getattr(first, name)
        assert group(first_pid) == set()
        assert not [name for name in traces(os.getpid()) if regions in name]
        second_pid = second.pid
        assert len(stubs(second_pid, MODEL)) == 1
    assert_nothing_left(second, second_pid)


async def test_a_model_whose_process_is_killed_is_loaded_again_by_the_same_server() -> None:
    async with supervised_triton(WATCHED) as supervisor:
        server, pid = supervisor.server, supervisor.server.pid
        before = stubs(pid, MODEL)
        os.kill(next(iter(before)), signal.SIGKILL)

        async def is_back() -> bool:
            return len(stubs(pid, MODEL) - before) == 1 and await loaded(server.grpc_address)

        await until(is_back)
        assert (supervisor.server, supervisor.server.pid) == (server, pid)
    assert_nothing_left(server, pid)


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.6])
async def test_an_end_amid_a_restart_leaves_nothing(after_s: float) -> None:
    async with supervised_triton(WATCHED) as supervisor:
        first, pid = supervisor.server, supervisor.server.pid
        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(after_s)
    assert_nothing_left(first, pid)
    assert group(supervisor.server.pid) == set()
