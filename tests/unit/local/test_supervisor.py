"""What the supervisor does when Triton's server or one of its models dies, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
import structlog

from avatar_service import clock
from avatar_service.background import running
from avatar_service.errors import StartupError
from avatar_service.local.restarts import STABLE_S, WAITS_S
from avatar_service.local.supervisor import Supervisor

START_S, LOAD_S = 7.0, 5.0


class FakeServer:
    """Starts in START_S, and ends when it is told to."""

    models: tuple[str, ...] = ("musetalk", "prepare")
    grpc_address = http_address = metrics_address = "127.0.0.1:1"

    def __init__(self, machine: "Machine", starts: bool = True) -> None:
        self._machine = machine
        self._starts = starts
        self._exited = asyncio.Event()
        self.stopped = False
        self._pid = len(machine.servers) + 1

    @property
    def log(self) -> list[str]:
        return ["last words"]

    async def __aenter__(self) -> Self:
        self._machine.started_at_s.append(clock.now())
        try:
            await asyncio.sleep(START_S)
        except asyncio.CancelledError:
            self.stopped = True
            raise
        if not self._starts:
            self.stopped = True
            raise StartupError("Triton ended while starting, exit code 1; its last output:\n  many lines")
        return self

    async def stop(self) -> None:
        self.stopped = True

    async def wait_exit(self) -> int:
        await self._exited.wait()
        return -9

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def has_exited(self) -> bool:
        return self._exited.is_set()

    def die(self) -> None:
        self._exited.set()
        for model in self.models:  # their processes follow
            self._machine.lose(model)


@dataclass
class Machine:
    """Where servers run, and models are lost."""

    starts: list[bool] = field(default_factory=list)
    """Whether the next servers start; all others do."""
    loads: list[bool] = field(default_factory=list)
    servers: list[FakeServer] = field(default_factory=list)
    started_at_s: list[float] = field(default_factory=list)
    loaded: list[tuple[str, float]] = field(default_factory=list)
    _lost: dict[str, "asyncio.Future[str]"] = field(default_factory=dict)

    def server(self) -> FakeServer:
        """Another one."""
        server = FakeServer(self, self.starts.pop(0) if self.starts else True)
        self.servers.append(server)
        return server

    def lose(self, model: str, reason: str = "ended") -> None:
        """A model answers no more."""
        if (lost := self._lost.get(model)) and not lost.done():
            lost.set_result(reason)

    async def lost(self, model: str) -> str:
        """Wait for that."""
        self._lost[model] = asyncio.get_running_loop().create_future()
        return await self._lost[model]

    async def load(self, model: str) -> bool:
        """Load a model."""
        self.loaded.append((model, clock.now()))
        await asyncio.sleep(LOAD_S)
        return self.loads.pop(0) if self.loads else True


@asynccontextmanager
async def supervised(machine: Machine) -> AsyncIterator[Supervisor[FakeServer]]:
    server = machine.server()
    await server.__aenter__()
    supervisor = Supervisor(server, machine.server, lambda server: machine)
    async with running(supervisor.run()):
        await asyncio.sleep(0.01)  # the watch has begun
        yield supervisor


async def events_of(act: Callable[[Machine, Supervisor[FakeServer]], Any], machine: Machine) -> list[str]:
    """The names of the events that are logged while something happens."""
    with structlog.testing.capture_logs() as logs:
        async with supervised(machine) as supervisor:
            await act(machine, supervisor)
    return [entry["event"] for entry in logs]


async def test_a_server_that_dies_is_started_again_at_once() -> None:
    machine = Machine()

    async def kill(machine: Machine, supervisor: Supervisor[FakeServer]) -> None:
        machine.servers[0].die()
        await asyncio.sleep(START_S + 0.1)
        assert supervisor.server is machine.servers[1]

    assert await events_of(kill, machine) == ["triton_died", "triton_restarting", "triton_back"]
    assert machine.servers[0].stopped, "with its group and its shared memory"
    assert machine.started_at_s[1] - machine.started_at_s[0] == pytest.approx(START_S, abs=0.1)
    assert machine.loaded == []


async def test_a_model_whose_process_dies_is_loaded_again_and_the_server_left_alone() -> None:
    for model in ("musetalk", "prepare"):
        machine = Machine()

        async def kill(machine: Machine, supervisor: Supervisor[FakeServer], model: str = model) -> None:
            for _ in range(2):
                machine.lose(model)
                await asyncio.sleep(STABLE_S + LOAD_S + 0.1)

        assert await events_of(kill, machine) == ["stub_died", "model_reloaded"] * 2
        assert [name for name, _ in machine.loaded] == [model] * 2
        assert not machine.servers[0].stopped


async def test_a_model_that_fails_is_told_from_one_that_is_dead() -> None:
    async def fail(machine: Machine, supervisor: Supervisor[FakeServer]) -> None:
        machine.lose("musetalk", "hangs")
        await asyncio.sleep(LOAD_S + 0.1)

    assert await events_of(fail, Machine()) == ["model_failed", "model_reloaded"]


async def test_where_loading_does_not_help_lip_sync_the_server_is_started_again() -> None:
    machine = Machine(loads=[False])

    async def fail(machine: Machine, supervisor: Supervisor[FakeServer]) -> None:
        machine.lose("musetalk")
        await asyncio.sleep(LOAD_S + START_S + 10.0)

    events = ["stub_died", "triton_died", "triton_restarting", "triton_back"]
    assert await events_of(fail, machine) == events
    assert machine.servers[0].stopped


async def test_no_conversation_loses_its_lips_for_the_sake_of_preparing_avatars() -> None:
    machine = Machine(loads=[False] * len(WAITS_S))

    async def fail(machine: Machine, supervisor: Supervisor[FakeServer]) -> None:
        machine.lose("prepare")
        await asyncio.sleep(1_000.0)
        machine.lose("musetalk")
        await asyncio.sleep(LOAD_S + 0.1)

    assert await events_of(fail, machine) == ["stub_died", "model_given_up", "stub_died", "model_reloaded"]
    assert [name for name, _ in machine.loaded] == ["prepare"] * len(WAITS_S) + ["musetalk"]
    assert not machine.servers[0].stopped


async def test_a_model_that_dies_with_its_server_is_not_loaded() -> None:
    machine = Machine()

    async def kill(machine: Machine, supervisor: Supervisor[FakeServer]) -> None:
        machine.servers[0].die()
        await asyncio.sleep(0.1)

    assert "stub_died" not in await events_of(kill, machine)


async def test_what_dies_again_soon_waits_longer_each_time_and_is_given_up_in_the_end() -> None:
    machine = Machine()

    async def kill(machine: Machine, supervisor: Supervisor[FakeServer]) -> None:
        for wait_s in WAITS_S:
            machine.servers[-1].die()
            died_at_s = clock.now()
            await asyncio.sleep(wait_s + START_S + 0.1)
            assert machine.started_at_s[-1] - died_at_s == pytest.approx(wait_s, abs=0.01)
        await asyncio.sleep(0.1)
        machine.servers[-1].die()
        assert await supervisor.given_up() == "last words"

    events = await events_of(kill, machine)
    assert events[-2:] == ["triton_died", "triton_given_up"]
    assert len(machine.servers) == len(WAITS_S) + 1


async def test_starts_that_fail_count_as_deaths() -> None:
    machine = Machine(starts=[True, *[False] * len(WAITS_S)])

    async def kill(machine: Machine, supervisor: Supervisor[FakeServer]) -> None:
        machine.servers[0].die()
        assert (await supervisor.given_up()).startswith("Triton ended while starting")

    events = await events_of(kill, machine)
    assert events == ["triton_died", *["triton_restarting", "triton_not_started"] * len(WAITS_S), "triton_given_up"]


async def test_what_has_run_for_a_while_is_started_again_at_once_however_often_it_died() -> None:
    machine = Machine()

    async def kill(machine: Machine, supervisor: Supervisor[FakeServer]) -> None:
        for _ in range(3 * len(WAITS_S)):
            await asyncio.sleep(STABLE_S)
            machine.servers[-1].die()
            died_at_s = clock.now()
            await asyncio.sleep(START_S + 0.1)
            assert machine.started_at_s[-1] == pytest.approx(died_at_s, abs=0.01)

    assert "triton_given_up" not in await events_of(kill, machine)


async def test_an_end_amid_a_start_stops_what_is_being_started() -> None:
    machine = Machine()

    async def kill(machine: Machine, supervisor: Supervisor[FakeServer]) -> None:
        machine.servers[0].die()
        await asyncio.sleep(START_S / 2)

    await events_of(kill, machine)
    assert [server.stopped for server in machine.servers] == [True, True]
