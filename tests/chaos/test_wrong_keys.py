"""A key that its vendor does not take: the first turn and the doctor say which, never what it is, and ask once."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from avatar_service.sandbox.app import Sandbox
from avatar_service.sandbox.settings import SandboxSettings
from tests.chaos.playing import opened, outcome, reasons
from tests.chaos.system import KEY, QUESTION, running_system, script
from tests.nothing_private import listening

WRONG = "sk-wrong4711"
DOCTOR_S = 60.0
ROUTES = {"openai": "/openai/v1/chat/completions", "elevenlabs": "/elevenlabs/v1/text-to-speech/"}
"""Where the requests of a turn go to that a vendor refuses."""


@pytest.mark.parametrize(("vendor", "setting"), [("openai", "OPENAI_API_KEY"), ("elevenlabs", "ELEVENLABS_API_KEY")])
async def test_the_first_turn_says_which_key_is_refused_and_asks_once(
    tmp_path: Path, vendor: str, setting: str
) -> None:
    wrong, right = {"api_key": WRONG}, {"api_key": KEY}
    openai, elevenlabs = (wrong, right) if vendor == "openai" else (right, wrong)
    with listening() as told:
        async with running_system(tmp_path, openai=openai, elevenlabs=elevenlabs) as system:
            call = await opened(system)
            await call.text(QUESTION)
            completed = await call.until("turn_completed")
            refused = [asked for asked in await system.requests() if asked["route"].startswith(ROUTES[vendor])]
            assert [asked["status"] for asked in refused] == [401]
            await call.finish()
    failed = "CHAT_FAILED" if vendor == "openai" else "SPEECH_FAILED"
    notice = call.only("notice")
    assert reasons([notice.reason]) == (failed,)
    assert outcome(completed) == ("COMPLETED" if vendor == "openai" else "FAILED")
    assert notice.status.error_info.metadata["fault"] == "authentication"
    assert setting in notice.status.message
    assert WRONG not in told.text + str(call.responses)


@pytest.mark.parametrize(("vendor", "setting"), [("openai", "OPENAI_API_KEY"), ("elevenlabs", "ELEVENLABS_API_KEY")])
async def test_the_doctor_says_which_key_is_refused_and_asks_once(tmp_path: Path, vendor: str, setting: str) -> None:
    sandbox = Sandbox(SandboxSettings(), script())
    url = await sandbox.start("127.0.0.1", 0)
    try:
        told = await _doctor(tmp_path, url, {setting: WRONG})
        async with aiohttp.request("GET", f"{url}/sandbox/requests") as answer:
            asked = (await answer.json())["requests"]
    finally:
        await sandbox.aclose()
    (line,) = [line for line in told.splitlines() if line.split()[:2] == ["failed", vendor]]
    assert "the key is refused (status 401)" in line
    assert f"set {setting}" in line
    assert WRONG not in told
    assert [one["status"] for one in asked if one["vendor"] == vendor] == [401]
    assert all(one["status"] == 200 for one in asked if one["vendor"] != vendor)


async def _doctor(folder: Path, url: str, keys: Mapping[str, str]) -> str:
    """What the command tells, standard error included, that looks at nothing but this sandbox and these keys."""
    environment = {
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": f"{url}/openai/v1",
        "ELEVENLABS_API_KEY": KEY,
        "ELEVENLABS_BASE_URL": f"{url}/elevenlabs",
        "AVATAR_LISTEN": "127.0.0.1:0",
        "AVATAR_METRICS_LISTEN": "",
        "AVATAR_TRITON_ADDRESS": "127.0.0.1:1",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "avatar_service", "doctor"),
        cwd=folder,
        env={**os.environ, **environment, **keys},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DOCTOR_S):
        told, _ = await process.communicate()
    return told.decode()
