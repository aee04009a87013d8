"""Ctrl-C leaves nothing behind, whenever it comes."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from avatar_service.local.leftovers import PREFIX

MARK = "CTRL_C_TEST"
LATEST_S = 15.0
"""By then the system serves, even on a busy machine of two cores."""
STOPPED_S = 30.0


def moments(count: int) -> list[float]:
    generator = random.Random(20)
    return [generator.uniform(0.1, LATEST_S) for _ in range(count)]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def processes_with(mark: str) -> list[str]:
    """Command lines of the processes whose environment holds the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it ended meanwhile, or is not ours
    return found


def interrupt_up_after(delay_s: float) -> None:
    """Start the whole system, interrupt it after a while, and see that nothing of it is left."""
    mark, port = uuid.uuid4().hex, free_port()
    argv = [sys.executable, "-m", "avatar_service", "up", "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(
        argv, env={**os.environ, MARK: mark}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        time.sleep(delay_s)
        assert process.poll() is None, process.communicate()[0].decode()
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=STOPPED_S)[0].decode()
    assert processes_with(mark) == [], output
    assert not [path for path in Path("/dev/shm").iterdir() if path.name.startswith(f"{PREFIX}{process.pid}-")], output
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))


@pytest.mark.parametrize("delay_s", [1.5, 4.0, 12.0])
def test_early_amid_the_start_and_while_serving(delay_s: float) -> None:
    interrupt_up_after(delay_s)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_at_twenty_random_moments() -> None:
    for delay_s in moments(20):
        interrupt_up_after(delay_s)
