"""However Triton's run ends, nothing of it stays: no process, no shared memory, no port, no folder."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from avatar_service.errors import StartupError
from avatar_service.local.leftovers import PREFIX
from avatar_service.local.triton import TritonServer
from tests.fakes.run_light_triton import LIGHT

PROJECT = Path(__file__).parents[2]


def eventually(holds: Callable[[], bool], within_s: float = 30.0) -> bool:
    """Whether something comes true in time; for processes whose end nobody announces."""
    deadline = time.monotonic() + within_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def group(pgid: int) -> set[int]:
    """Living processes of a process group."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == pgid and state != "Z":
            found.add(int(stat.parent.name))
    return found


def traces(pid: int) -> list[str]:
    """Shared memory and folders that Triton servers of a process have made."""
    folders = (Path("/dev/shm"), Path(tempfile.gettempdir()))
    return [str(path) for folder in folders for path in folder.glob(f"{PREFIX}{pid}-*")]


def assert_nothing_left(server: TritonServer, server_pid: int) -> None:
    assert group(server_pid) == set()
    assert traces(os.getpid()) == []
    for address in (server.grpc_address, server.http_address, server.metrics_address):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            host, _, port = address.rpartition(":")
            listener.bind((host, int(port)))


def test_a_stopped_server_leaves_nothing() -> None:
    async def scenario() -> None:
        async with TritonServer(LIGHT) as server:
            pid = server.pid
            assert len(group(pid)) >= 2  # the server and the model's process
            assert traces(os.getpid())
        assert_nothing_left(server, pid)

    asyncio.run(scenario())


def test_the_models_process_follows_a_killed_server_and_stopping_cleans_up() -> None:
    async def scenario() -> None:
        async with TritonServer(LIGHT) as server:
            pid = server.pid
            os.kill(pid, signal.SIGKILL)
            assert await server.wait_exit() == -signal.SIGKILL
            assert eventually(lambda: not group(pid))
            assert traces(os.getpid())  # nobody else removes the dead server's shared memory
        assert_nothing_left(server, pid)

    asyncio.run(scenario())


def run_light_triton() -> subprocess.Popen[str]:
    """A process of its own that runs a server and has printed the server's pid."""
    return subprocess.Popen(
        [sys.executable, str(PROJECT / "tests" / "fakes" / "run_light_triton.py")],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_a_server_ends_with_its_killed_parent_and_the_next_start_removes_its_traces() -> None:
    with run_light_triton() as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        assert eventually(lambda: not group(pid))
    assert traces(parent.pid)  # the folder of symlinks, which nobody was left to remove

    async def next_start() -> None:
        async with asyncio.timeout(0.0):  # the cleaning comes first
            await TritonServer(LIGHT).__aenter__()

    with pytest.raises(TimeoutError):
        asyncio.run(next_start())
    assert traces(parent.pid) == []


def test_a_server_ends_with_its_interrupted_parent_without_a_trace() -> None:
    with run_light_triton() as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGINT)
        assert eventually(lambda: not group(pid))
    assert traces(parent.pid) == []


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3, 1.0])
def test_a_start_that_is_cancelled_leaves_nothing(after_s: float) -> None:
    async def never(_: str) -> bool:
        return False

    async def scenario() -> None:
        server = TritonServer(replace(LIGHT, probe=never))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(after_s):
                await server.__aenter__()
        assert group(server.pid) == set()
        assert traces(os.getpid()) == []

    asyncio.run(scenario())


def test_a_model_that_does_not_load_is_reported_with_its_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with TritonServer(replace(LIGHT, model_dir=tmp_path / "missing")):
            raise AssertionError("it started")

    with pytest.raises(StartupError, match=rf"^Triton ended while starting: no weights in {tmp_path}/missing$"):
        asyncio.run(scenario())
    assert traces(os.getpid()) == []


def test_a_taken_port_is_named() -> None:
    async def scenario(port: int) -> None:
        async with TritonServer(replace(LIGHT, grpc_port=port)):
            raise AssertionError("it started")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=f"cannot listen on 127.0.0.1:{port}"):
            asyncio.run(scenario(port))
    assert traces(os.getpid()) == []


def test_the_command_ends_cleanly_on_ctrl_c_while_it_starts() -> None:
    command = [sys.executable, "-c", "from avatar_service.cli.main import main; main()", "triton"]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("starting Triton")
        assert eventually(lambda: bool(traces(process.pid)))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert traces(process.pid) == []


def test_the_command_refuses_an_address_without_a_port() -> None:
    command = [
        sys.executable,
        "-c",
        "from avatar_service.cli.main import main; main()",
        "triton",
        "--listen",
        "nowhere",
    ]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert "HOST:PORT" in done.stderr
