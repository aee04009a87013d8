"""A child: readiness, its last output in errors, the end of its whole process group."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from avatar_service.local.child_process import LOG_LINES, ChildCommand, ChildFailed, ChildProcess


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"], autouse=True)
def loop_of_each_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs on asyncio's loop and on that of the service's commands."""

    def run(scenario: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(scenario)

    monkeypatch.setattr(asyncio, "run", run)


def python(code: str, **options: float) -> ChildCommand:
    return ChildCommand("child", (sys.executable, "-c", code), **options)  # type: ignore[arg-type]  # timeouts only


def alive(pid: int) -> bool:
    try:
        state = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def until_logged(child: ChildProcess, count: int = 1) -> None:
    async def probe() -> bool:
        return len(child.log) >= count

    await child.wait_ready(probe)


async def never() -> bool:
    return False


def test_output_of_both_streams_is_kept_up_to_a_limit() -> None:
    async def scenario() -> None:
        code = "import sys\nfor i in range(5000): print(i)\nprint('end', file=sys.stderr)\nprint('x' * 10**6, end='')"
        async with ChildProcess(python(code)) as child:
            assert await child.wait_exit() == 0
        assert len(child.log) <= LOG_LINES + 1
        assert max(map(len, child.log)) <= 2_000
        assert "end" in child.log

    asyncio.run(scenario())


def test_a_child_gets_our_environment_and_its_own_but_no_vendor_s_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("INHERITED", "yes")

    async def scenario() -> None:
        code = "import os; print(os.environ.get('OPENAI_API_KEY'), os.environ['INHERITED'], os.environ['OWN'])"
        async with ChildProcess(ChildCommand("child", (sys.executable, "-c", code), {"OWN": "1"})) as child:
            assert await child.wait_exit() == 0
        assert child.log == ["None yes 1"]

    asyncio.run(scenario())


def test_a_child_that_ends_while_starting_is_reported_with_its_output() -> None:
    async def scenario() -> None:
        async with ChildProcess(python("print('no such model'); raise SystemExit(3)")) as child:
            await child.wait_ready(never)

    with pytest.raises(ChildFailed, match=r"(?s)child ended while starting, exit code 3.*no such model"):
        asyncio.run(scenario())


def test_a_child_that_is_not_ready_in_time_is_reported_and_ended() -> None:
    pids = []

    async def scenario() -> None:
        async with ChildProcess(python("import time; time.sleep(60)", ready_timeout_s=0.2)) as child:
            pids.append(child.pid)
            await child.wait_ready(never)

    with pytest.raises(ChildFailed, match=r"was not ready within 0.2 s"):
        asyncio.run(scenario())
    assert not alive(pids[0])


def test_a_missing_program_is_reported() -> None:
    async def scenario() -> None:
        async with ChildProcess(ChildCommand("child", ("/no/such/program",))) as child:
            await child.wait_ready(never)

    with pytest.raises(ChildFailed, match="/no/such/program: No such file"):
        asyncio.run(scenario())


GRANDCHILD = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.{on_term})
inner = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"])
print(inner.pid, flush=True)
time.sleep(60)
"""  # noqa: E501 - a program


@pytest.mark.parametrize("on_term", ["SIG_DFL", "SIG_IGN"], ids=["obedient", "deaf"])
def test_stopping_ends_the_whole_group(on_term: str) -> None:
    async def scenario() -> None:
        async with ChildProcess(python(GRANDCHILD.format(on_term=on_term), stop_timeout_s=0.3)) as child:
            await until_logged(child, 2)
            inner = int(next(line for line in child.log if line.isdecimal()))
            assert alive(inner)
        assert not alive(child.pid)
        assert not alive(inner)
        await child.stop()  # repeating it is harmless

    asyncio.run(scenario())


def test_a_cancelled_stop_kills_at_once() -> None:
    async def scenario() -> None:
        child = ChildProcess(python(GRANDCHILD.format(on_term="SIG_IGN"), stop_timeout_s=60.0))
        await child.start()
        await until_logged(child, 2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await child.stop()
        assert not alive(child.pid)

    asyncio.run(scenario())


def test_a_child_sees_our_environment_and_its_own_variables() -> None:
    async def scenario() -> list[str]:
        code = "import os; print(os.environ['EXTRA'], os.environ['PATH'])"
        async with ChildProcess(ChildCommand("child", (sys.executable, "-c", code), {"EXTRA": "seven"})) as child:
            await child.wait_exit()
        return child.log

    assert asyncio.run(scenario()) == [f"seven {os.environ['PATH']}"]
