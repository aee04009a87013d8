"""The health service on a port of its own, which answers for the event loop and not from it."""

import asyncio
import io
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from avatar_service import log
from avatar_service.errors import StartupError
from avatar_service.rpc.health_port import LIVENESS, health_served
from avatar_service.rpc.loop_watch import BEAT_S
from avatar_service.rpc.monitoring import Readiness

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
NAMES = ("", "avatar.v1.AvatarService", LIVENESS)
STUCK_S = 0.8
DEADLINE_S = 10.0


class Probe:
    """A kubelet: blocking calls, which tests make from threads."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._stub: Any = health_pb2_grpc.HealthStub(self._channel)

    def answers(self) -> tuple[int, ...]:
        return tuple(
            self._stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=DEADLINE_S).status for name in NAMES
        )

    def until(self, wanted: tuple[int, ...]) -> float:
        """Ask until the answers are these; returns how long that took."""
        began_s = time.monotonic()
        while self.answers() != wanted:
            assert time.monotonic() < began_s + DEADLINE_S
            time.sleep(0.05)
        return time.monotonic() - began_s

    def close(self) -> None:
        self._channel.close()


@asynccontextmanager
async def probed(readiness: Readiness) -> AsyncIterator[Probe]:
    async with health_served("127.0.0.1:0", readiness, STUCK_S) as address:
        probe = Probe(address)
        try:
            yield probe
        finally:
            probe.close()


async def asked(ask: Callable[[], Any]) -> Any:
    """In a thread, as the loop goes on."""
    return await asyncio.to_thread(ask)


async def test_a_process_is_alive_from_the_first_moment_and_ready_while_it_takes_streams() -> None:
    readiness = Readiness()
    async with probed(readiness) as probe:
        assert await asked(probe.answers) == (NOT_SERVING, NOT_SERVING, SERVING)
        readiness.state = "ready"
        assert await asked(probe.answers) == (SERVING, SERVING, SERVING)
        readiness.state = "draining"
        assert await asked(probe.answers) == (NOT_SERVING, NOT_SERVING, SERVING)


def stick() -> None:
    """Hold the loop for twice as long as it takes to be noticed."""
    time.sleep(2 * (STUCK_S + BEAT_S))


async def test_a_loop_that_is_stuck_is_noticed_and_told_with_its_place_and_so_is_its_return() -> None:
    readiness, written = Readiness(), io.StringIO()
    readiness.state = "ready"
    with log.restored():
        log.set_up("INFO", "json", written)
        async with probed(readiness) as probe:
            noticed = asyncio.create_task(asked(lambda: probe.until((NOT_SERVING, NOT_SERVING, NOT_SERVING))))
            await asyncio.sleep(0.05)
            stick()
            assert await noticed < 2 * (STUCK_S + BEAT_S), "while the loop was stuck"
            await asked(lambda: probe.until((SERVING, SERVING, SERVING)))
    stuck, moves = (json.loads(line) for line in written.getvalue().splitlines())
    assert (stuck["event"], moves["event"]) == ("event_loop_stuck", "event_loop_moves_again")
    assert re.search(r"test_health_port.py:\d+ stick$", stuck["within"])
    assert stuck["for_s"] >= STUCK_S


async def test_a_name_that_is_not_served_is_not_found() -> None:
    async with health_served("127.0.0.1:0", Readiness()) as address, grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Check(health_pb2.HealthCheckRequest(service="other"))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_without_an_address_there_is_no_port_and_the_loop_is_watched() -> None:
    async with health_served("", Readiness()) as address:
        assert address == ""


async def test_an_address_that_is_taken_is_an_error_that_names_the_setting() -> None:
    async with health_served("127.0.0.1:0", Readiness()) as address:
        with pytest.raises(StartupError, match=r"AVATAR_HEALTH_LISTEN: .*\(Address already in use\)"):
            async with health_served(address, Readiness()):
                pass
