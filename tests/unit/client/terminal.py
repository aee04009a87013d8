"""Runs `avatar-client` at a terminal of its own, and types there."""

import asyncio
import os
import pty
import re
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
PATIENCE_S: Final = 20.0
"""How long something may take to appear."""


class Terminal:
    """A pseudo-terminal, and a command whose input, output and errors it is."""

    def __init__(self, process: asyncio.subprocess.Process, descriptor: int) -> None:
        self._process = process
        self._descriptor = descriptor
        self._changed = asyncio.Event()
        self._shown = ""
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    @property
    def shown(self) -> str:
        """All that was written, without colours and movements of the cursor."""
        return ANSI.sub("", self._shown)

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._descriptor)[3] & termios.ECHO)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._descriptor, keys.encode())

    async def until(self, words: str) -> None:
        """Wait until `words` are shown."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while words not in self.shown:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{words!r} was not shown, but:\n{self.shown}") from None

    async def status(self) -> int:
        """Wait until the command has ended; returns its exit status."""
        return await asyncio.wait_for(self._process.wait(), PATIENCE_S)

    async def close(self) -> None:
        """Take the terminal away."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _read(self) -> None:
        with suppress(OSError):  # the other side has closed it
            self._shown += os.read(self._descriptor, 65_536).decode(errors="replace")
            self._changed.set()
            return
        asyncio.get_running_loop().remove_reader(self._descriptor)


@asynccontextmanager
async def at_terminal(*arguments: str, environment: dict[str, str] | None = None) -> AsyncIterator[Terminal]:
    """Run a command at a terminal of its own, as its session's foreground."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "tests.unit.client.terminal", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path]), "TERM": "xterm"}
        | (environment or {}),
    )
    os.close(theirs)
    terminal = Terminal(process, ours)
    try:
        yield terminal
    finally:
        await terminal.close()


def _main() -> None:
    """In the command's process: take the terminal as this session's, so that Ctrl-C comes, and run the command."""
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    from avatar_client.cli import main

    main()


if __name__ == "__main__":
    _main()
