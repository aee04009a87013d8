"""The stand-in vendors as our child process."""

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from avatar_service.local.child_process import ChildCommand, ChildProcess

_LISTENING = re.compile(r"sandbox listening on (?P<url>\S+)")
PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class SandboxAddress:
    """Where a running sandbox is, and the key that both of its vendors take."""

    url: str
    key: str = "sandbox"

    @property
    def openai_base_url(self) -> str:
        """Base URL for the OpenAI SDK."""
        return f"{self.url}/openai/v1"

    @property
    def elevenlabs_base_url(self) -> str:
        """Base URL for the ElevenLabs SDK."""
        return f"{self.url}/elevenlabs"


@asynccontextmanager
async def running_sandbox(*options: str) -> AsyncIterator[SandboxAddress]:
    """Start a sandbox on a free port, wait until its models are loaded, stop it at the end. Raises ChildFailed.

    `options` are further ones of `avatar-service sandbox`.
    """
    argv = (sys.executable, "-m", "avatar_service.cli.sandbox", "--listen", "127.0.0.1:0", *options)
    async with ChildProcess(ChildCommand("sandbox", argv)) as child, aiohttp.ClientSession() as http:

        async def loaded() -> bool:
            url = _url(child)
            return url is not None and await _healthy(http, url)

        await child.wait_ready(loaded)
        url = _url(child)
        assert url is not None
        yield SandboxAddress(url)


def _url(child: ChildProcess) -> str | None:
    for line in child.log:
        if match := _LISTENING.search(line):
            return match["url"]
    return None


async def _healthy(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/sandbox/health", timeout=aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
