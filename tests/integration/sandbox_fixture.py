"""A sandbox for tests: the real command in a child process of its own, on a free port."""

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

KEY: Final = "sandbox"
VOICE_ID: Final = "21m00Tcm4TlvDq8ikWAM"

_ROOT: Final = Path(__file__).resolve().parents[2]
_MODULE: Final = "avatar_service.cli.sandbox"
_START_S: Final = 60.0
_STOP_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox that listens."""

    url: str
    process: subprocess.Popen[str]

    @property
    def openai_url(self) -> str:
        """Base URL for the OpenAI SDK."""
        return f"{self.url}/openai/v1"

    @property
    def elevenlabs_url(self) -> str:
        """Base URL for the ElevenLabs SDK."""
        return f"{self.url}/elevenlabs"

    def requests(self) -> list[dict[str, Any]]:
        """What it remembers of the last requests, oldest first."""
        with urllib.request.urlopen(f"{self.url}/sandbox/requests", timeout=10) as answer:
            listed: list[dict[str, Any]] = json.load(answer)["requests"]
        return listed

    def last_request(self, route: str) -> dict[str, Any]:
        """The newest request whose route ends with ``route``."""
        return [request for request in self.requests() if request["route"].endswith(route)][-1]


@contextmanager
def running_sandbox(
    *options: str, wait: bool = True, environment: Mapping[str, str] | None = None
) -> Iterator[RunningSandbox]:
    """Start ``avatar-service sandbox`` with options, wait until its models are loaded, stop it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", _MODULE, "--listen", "127.0.0.1:0", *options],
        cwd=_ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(_START_S, process.kill)
    watchdog.start()
    try:
        url = _line(process, "sandbox listening on ")
        if wait:
            _line(process, "sandbox ready")
        watchdog.cancel()
        yield RunningSandbox(url, process)
    finally:
        watchdog.cancel()
        _stop(process)


def _line(process: subprocess.Popen[str], beginning: str) -> str:
    """Return the rest of the next line, which must begin as said."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(beginning), f"the sandbox said {line!r}, not {beginning!r}"
    return line.removeprefix(beginning).strip()


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_STOP_S)
    if process.stdout is not None:
        process.stdout.close()
