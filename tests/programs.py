"""Programs as children of a test or a benchmark, without an event loop of their own.

Output goes into a file, so that nobody must read it, and whoever waits for a line polls that. A program may therefore
outlive the loop that started it, as it must where one serves all tests of a module. Each has a process group of its
own, which is killed at the end; if this process dies, the kernel sends SIGTERM to the program.
"""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from avatar_service.local.child_process import EXEC_CHILD

ROOT = Path(__file__).resolve().parents[1]
READY_S = 60.0
"""How long a program may take to say that it is ready, on a machine that is busy with other tests."""
REAPED_S = 10.0
POLL_S = 0.02


class Program:
    """One run of a command, from `start` to `end`. Start it from the main thread: it dies with its thread."""

    def __init__(self, name: str, argv: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> None:
        """`folder` is its working directory and takes its output; `env` comes beside our own environment."""
        self.name = name
        self._argv = argv
        self._folder = folder
        self._env = env or {}
        self._log = folder / f"{name}.log"
        self._read_from = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """What it has printed since its last start, both streams together."""
        with self._log.open("rb") as log:
            log.seek(self._read_from)
            return log.read().decode(errors="replace")

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.poll()

    def start(self) -> None:
        """Start it, for the first time or again; its output is appended."""
        with self._log.open("ab") as log:
            self._read_from = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-IS", str(EXEC_CHILD), str(os.getpid()), *self._argv],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **self._env},
                start_new_session=True,
            )

    async def said(self, pattern: str, within_s: float = READY_S) -> re.Match[str]:
        """Wait for a line with this pattern. Raises AssertionError, with the output, if none comes."""
        deadline_s = time.monotonic() + within_s
        while not (found := re.search(pattern, self.output, re.MULTILINE)):
            assert self.returncode is None, f"{self.name} ended with {self.returncode}:\n{self.output}"
            assert time.monotonic() < deadline_s, f"{self.name} did not say {pattern!r}:\n{self.output}"
            await asyncio.sleep(POLL_S)
        return found

    async def ended(self, within_s: float = READY_S) -> int:
        """Wait for its own end; returns the exit code. Raises AssertionError if it goes on."""
        deadline_s = time.monotonic() + within_s
        while self.returncode is None:
            assert time.monotonic() < deadline_s, f"{self.name} goes on:\n{self.output}"
            await asyncio.sleep(POLL_S)
        return self.returncode

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program itself, not to what it has started."""
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self.send(signal.SIGTERM)

    def kill(self) -> None:
        """End it and what it has started without a word (SIGKILL), and wait until it is gone. Safe to repeat."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(REAPED_S)

    def stop(self) -> None:
        """Let it hang (SIGSTOP)."""
        self.send(signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on (SIGCONT)."""
        self.send(signal.SIGCONT)
