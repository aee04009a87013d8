"""A server program as our child: started in its own process group, watched, stopped with all that it started.

Owns the process group and the last lines of its output. It dies with us: the kernel sends it SIGTERM when the thread
that started it ends, so start children from the main thread.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from avatar_service.errors import StartupError

EXEC_CHILD = Path(__file__).with_name("exec_child.py")
LOG_LINES = 200
LOG_LINE_BYTES = 2_000
POLL_S = 0.05


class ChildFailed(StartupError):
    """A child could not be started, ended by itself, or was not ready in time; the message has its last output."""


@dataclass(frozen=True, slots=True)
class ChildCommand:
    """What to run, under what name, with which variables beside our own environment."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_timeout_s: float = 60.0
    stop_timeout_s: float = 5.0  # between SIGTERM and SIGKILL


class ChildProcess(asyncio.SubprocessProtocol):
    """One run of a command, from ``start`` to ``stop``. As a context manager it is started and stopped.

    Belongs to the event loop that started it.
    """

    def __init__(self, command: ChildCommand, tell: Callable[[str], None] | None = None) -> None:
        """`tell` is given every line of its standard output; its standard error is ours then."""
        self.command = command
        self._tell = tell
        self.pid = 0
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._unfinished_line = b""
        self._transport: asyncio.SubprocessTransport | None = None
        self._exited = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; None while it runs or before it was started."""
        return self._transport.get_returncode() if self._transport else None

    @property
    def log(self) -> list[str]:
        """The last lines of its output, both streams together."""
        return [*self._log, self._unfinished_line.decode(errors="replace")] if self._unfinished_line else [*self._log]

    async def start(self) -> None:
        """Run the command; raises ChildFailed if the program is not there."""
        argv = (sys.executable, "-IS", str(EXEC_CHILD), str(os.getpid()), *self.command.argv)
        starting = asyncio.ensure_future(
            asyncio.get_running_loop().subprocess_exec(
                lambda: self,
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=None if self._tell else asyncio.subprocess.STDOUT,
                start_new_session=True,
                env={**_without_keys(os.environ), **self.command.env},
            )
        )
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The process exists from here on or soon will: it is ours to end before the cancel goes on.
            await asyncio.wait({starting})
            await self.stop()
            raise

    async def wait_ready(self, probe: Callable[[], Awaitable[bool]]) -> None:
        """Probe until it answers true; raises ChildFailed when the child ends or takes too long."""
        try:
            async with asyncio.timeout(self.command.ready_timeout_s):
                while not await probe():
                    if self._exited.is_set():
                        raise ChildFailed(self._with_log(f"ended while starting, exit code {self.returncode}"))
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._exited.wait(), POLL_S)
        except TimeoutError:
            raise ChildFailed(self._with_log(f"was not ready within {self.command.ready_timeout_s:g} s")) from None

    async def wait_exit(self) -> int:
        """Wait for the child's own end; returns its exit code."""
        await self._exited.wait()
        return self.returncode or 0

    async def stop(self) -> None:
        """End the child and its whole process group: SIGTERM, a wait, SIGKILL. Cancelled, it kills at once."""
        if self._transport is None:
            return
        try:
            if not self._exited.is_set():
                self._signal_group(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._exited.wait(), self.command.stop_timeout_s)
        finally:
            self._signal_group(signal.SIGKILL)  # what the child left behind, or the child itself
            await self._reaped()
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process runs."""
        self._transport = cast(asyncio.SubprocessTransport, transport)  # uvloop's is none by its class
        self.pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep the last lines of its output."""
        *lines, rest = (self._unfinished_line + data).split(b"\n")
        self._unfinished_line = rest[:LOG_LINE_BYTES]
        for line in (line[:LOG_LINE_BYTES].decode(errors="replace") for line in lines):
            self._log.append(line)
            if self._tell:
                self._tell(line)

    def process_exited(self) -> None:
        """The process has ended and is reaped; its group may live on."""
        self._exited.set()

    async def _reaped(self) -> None:
        """Wait, shortly, until nobody of the group is left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await self._exited.wait()
                while _group_lives(self.pid):
                    await asyncio.sleep(POLL_S)

    def _signal_group(self, number: int) -> None:
        """Signal every process of the group, if there is any."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _with_log(self, reason: str) -> str:
        lines = "\n".join(f"  {line}" for line in self.log[-40:])
        return f"{self.command.name} {reason}; its last output:\n{lines}" if lines else f"{self.command.name} {reason}"


def _group_lives(pgid: int) -> bool:
    """Whether a process of this group runs. Zombies do not count: in a container nobody may reap them."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended meanwhile
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(group) == pgid and state != "Z":
                return True
    return False


def _without_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """Our environment without the vendors' keys, which no child needs."""
    return {name: value for name, value in environment.items() if not name.endswith("_API_KEY")}
