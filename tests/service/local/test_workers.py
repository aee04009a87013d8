"""Workers that are kept running: real processes, which do nothing but say that they serve."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from avatar_service.errors import StartupError
from avatar_service.local import restarts, workers
from avatar_service.local.workers import run_workers, workers_of
from avatar_service.settings import ServerSettings, SessionSettings, Settings

DEADLINE_S = 15.0
SERVING = """
import os, pathlib, signal, sys, time
def stop(*_):
    pathlib.Path(sys.argv[1], f"stopped-{os.getpid()}").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("serving on", os.environ["AVATAR_LISTEN"], os.environ["AVATAR_WORKERS"], os.getpid(), flush=True)
time.sleep(600)
"""
FAILING = "import sys; sys.exit('error: AVATAR_AVATARS: no such directory')"


def settings_of(count: int, *, redis: bool = True, **addresses: str) -> Settings:
    listening = {"listen": "127.0.0.1:0", "metrics_listen": "", "health_listen": "", **addresses}
    return replace(
        Settings.load(env_file=None),
        server=ServerSettings.model_validate({"workers": count, "stop_grace_s": 1.0, **listening}),
        sessions=SessionSettings.model_validate({"redis_url": "redis://127.0.0.1:6379/0" if redis else ""}),
    )


class Told:
    """What workers have printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)

    @property
    def pids(self) -> list[int]:
        return [int(line.split()[-1]) for line in self.lines]

    async def count(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.lines) < count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def kept(count: int, folder: Path) -> AsyncIterator[Told]:
    """Workers that serve during the block and are told to stop at its end."""
    told = Told()
    argv = (sys.executable, "-c", SERVING, str(folder))
    running = asyncio.create_task(run_workers(settings_of(count), told, argv))
    try:
        await told.count(count)
        yield told
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_every_worker_serves_on_its_own_and_is_told_to_stop(tmp_path: Path) -> None:
    async with kept(3, tmp_path) as told:
        pids = told.pids
        assert len(set(pids)) == 3
        assert all(line.startswith("serving on 127.0.0.1:0 1 ") for line in told.lines), "none starts workers itself"
    assert sorted(os.listdir(tmp_path)) == sorted(f"stopped-{pid}" for pid in pids)


async def test_a_worker_that_dies_is_started_again_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "WAITS_S", (0.0, 0.0, 0.0))
    async with kept(2, tmp_path) as told:
        first, second = told.pids
        os.kill(first, signal.SIGKILL)
        await told.count(3)
        os.kill(told.pids[2], signal.SIGKILL)
        await told.count(4)
        os.kill(second, 0)
        assert len(set(told.pids)) == 4


async def test_a_worker_that_cannot_start_stops_all_of_them_with_one_error(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"worker [01] ended while it started, exit code 1"):
        await run_workers(settings_of(2), Told(), (sys.executable, "-c", FAILING))


async def test_a_worker_that_dies_again_and_again_is_given_up_and_the_others_are_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "WAITS_S", (0.0, 0.0))
    told = Told()
    argv = (sys.executable, "-c", SERVING, str(tmp_path))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(failed(run_workers(settings_of(2), told, argv)))
        await told.count(2)
        dying, living = told.pids
        for count in (3, 4):
            os.kill(dying, signal.SIGKILL)
            await told.count(count)
            dying = told.pids[-1]
        os.kill(dying, signal.SIGKILL)
        assert "died again and again" in await running
    assert (tmp_path / f"stopped-{living}").exists()


async def failed(running: object) -> str:
    with pytest.raises(StartupError) as error:
        await running  # type: ignore[misc]  # a coroutine
    return str(error.value)


async def test_a_worker_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "STOP_S", 0.2)
    deaf = SERVING.replace("signal.signal(signal.SIGTERM, stop)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    told = Told()
    running = asyncio.create_task(run_workers(settings_of(2), told, (sys.executable, "-c", deaf, str(tmp_path))))
    await told.count(2)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    for pid in told.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_every_further_worker_listens_on_the_next_port_of_each_address() -> None:
    settings = settings_of(3, listen="[::1]:50051", metrics_listen="127.0.0.1:9464")
    assert [worker.addresses for worker in workers_of(settings)] == [
        {
            "AVATAR_LISTEN": f"[::1]:{50051 + number}",
            "AVATAR_METRICS_LISTEN": f"127.0.0.1:{9464 + number}",
            "AVATAR_HEALTH_LISTEN": "",
        }
        for number in range(3)
    ]


def test_ports_that_meet_are_told_with_the_way_out() -> None:
    with pytest.raises(
        StartupError, match=r"AVATAR_LISTEN and AVATAR_METRICS_LISTEN: .* port 50052; set them at least 2"
    ):
        workers_of(settings_of(2, listen="127.0.0.1:50051", metrics_listen="127.0.0.1:50052"))


def test_a_port_beyond_the_last_is_told() -> None:
    with pytest.raises(StartupError, match="AVATAR_LISTEN: worker 1 comes to a port above 65535"):
        workers_of(settings_of(2, listen="127.0.0.1:65535"))


async def test_a_port_that_is_taken_is_told_before_anything_is_started() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with server:
        taken = server.sockets[0].getsockname()[1]
        with pytest.raises(StartupError, match=f"AVATAR_HEALTH_LISTEN: cannot listen on 127.0.0.1:{taken}"):
            await run_workers(settings_of(2, health_listen=f"127.0.0.1:{taken}"), Told())


@pytest.mark.parametrize("redis", [True, False])
async def test_without_redis_it_is_told_that_workers_do_not_share_sessions(
    redis: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StartupError):
        await run_workers(settings_of(2, redis=redis), Told(), (sys.executable, "-c", FAILING))
    assert ("sessions_not_shared" in capsys.readouterr().out) is not redis
