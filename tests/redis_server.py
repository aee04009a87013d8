"""A real redis-server for tests: on the loopback, a free port, nothing written to disk."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import TracebackType
from typing import Self

from avatar_service.local.child_process import EXEC_CHILD

WITHIN_S = 10.0
"""How long it may take to start or to stop."""


class RedisServer:
    """Started and stopped as often as a test wants, always on the same port and always empty."""

    def __init__(self) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            self._port = listener.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens, running or not."""
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {"--port": str(self._port), "--bind": "127.0.0.1", "--save": "", "--appendonly": "no"}
        arguments = [part for option in options.items() for part in option]
        # If this process is killed, the server goes as well.
        child = [sys.executable, "-IS", str(EXEC_CHILD), str(os.getpid()), "redis-server", *arguments]
        self._process = subprocess.Popen(child, stdout=subprocess.DEVNULL)
        deadline_s = time.monotonic() + WITHIN_S
        while not self._answers():
            assert self._process.poll() is None, "redis-server has ended"
            assert time.monotonic() < deadline_s, "redis-server does not answer"
            time.sleep(0.01)

    def stop(self) -> None:
        """Kill it: what it kept is lost, and its port refuses connections."""
        if self._process:
            self._process.kill()
            self._process.wait(WITHIN_S)
            self._process = None

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """During the block it accepts connections and answers nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with closing(socket.create_connection(("127.0.0.1", self._port), timeout=WITHIN_S)) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except ConnectionError:
            return False
