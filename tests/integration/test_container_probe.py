"""The probe of Triton's container, at a real Triton: it asks the model, and so finds out when the model is dead."""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from avatar_service.local.stubs import stubs
from avatar_service.local.triton import TritonServer
from avatar_service.local.triton_models import MODEL
from tests.fakes.run_light_triton import LIGHT

PROBE = Path(__file__).parents[2] / "deploy/docker/probe_model.py"
WITHIN_S = 30.0


async def probed(address: str) -> tuple[int, str]:
    """The exit code of the probe, and what it says."""
    command = (sys.executable, "-I", str(PROBE), f"http://{address}")
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(WITHIN_S):
        _, told = await process.communicate()
    return process.returncode or 0, told.decode()


async def test_a_dead_model_is_found_though_triton_says_that_it_is_ready() -> None:
    async with TritonServer(replace(LIGHT, stop_timeout_s=1.0)) as server:
        assert await probed(server.http_address) == (0, "")
        os.kill(next(iter(stubs(server.pid, MODEL))), signal.SIGKILL)
        code, told = await probed(server.http_address)
        assert (code, "Stub process" in told) == (1, True), told
    code, told = await probed(server.http_address)
    assert (code, "does not answer" in told) == (1, True), told
