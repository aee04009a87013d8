"""Runs `avatar-client`: in this process where that will do, in one of its own for signals and standard input."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from unittest.mock import patch

from typer.testing import CliRunner

from avatar_client.cli import app
from tests.unit.client.scripted_service import Script, serving
from tests.unit.client.server_thread import server

ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
ENVIRONMENT = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}


@dataclass(frozen=True, slots=True)
class Run:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """What it wrote to standard error, without frames and line ends."""
        return " ".join(self.err.replace("│", " ").split())


def invoke(*arguments: str) -> Run:
    """Run a command in this process."""
    with patch.dict(os.environ, ENVIRONMENT):
        result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Run(result.exit_code, ANSI.sub("", result.stdout), ANSI.sub("", result.stderr))


def invoke_against(script: Script, name: str, *arguments: str) -> Run:
    """Run the command `name` in this process against a scripted server."""
    with server(script) as address:
        return invoke(name, "--server", address, *arguments)


def start_against(
    script: Script,
    *arguments: str,
    typed: str = "",
    interrupts: Sequence[asyncio.Event] = (),
    environment: dict[str, str] | None = None,
) -> Run:
    """Run a command in a process of its own against a scripted server.

    `typed` is its standard input; at each of `interrupts` it gets Ctrl-C.
    """

    async def scenario() -> Run:
        async with serving(script) as address:
            return await start((arguments[0], "--server", address, *arguments[1:]), typed, interrupts, environment)

    return asyncio.run(scenario())


async def start(
    arguments: Sequence[str],
    typed: str = "",
    interrupts: Sequence[asyncio.Event] = (),
    environment: dict[str, str] | None = None,
) -> Run:
    """Run a command in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "avatar_client.cli",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **ENVIRONMENT, **(environment or {})},
    )
    assert process.stdin is not None
    process.stdin.write(typed.encode())
    for interrupt in interrupts:
        await interrupt.wait()
        process.send_signal(signal.SIGINT)
    process.stdin.close()
    out, err = await process.communicate()
    return Run(process.returncode or 0, ANSI.sub("", out.decode()), ANSI.sub("", err.decode()))
