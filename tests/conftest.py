"""What holds for every test.

A test is `async def` where it needs a loop: below tests/unit it runs in virtual time, elsewhere in a real loop. It
fails if it leaves tasks, child processes or shared memory behind. The folder is the category: unit tests open no
sockets.
"""

import asyncio
import inspect
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.virtual_time import VirtualTimeLoop

UNIT = Path(__file__).parent / "unit"
PREFIXES = ("AVATAR_", "OPENAI_", "ELEVENLABS_", "OTEL_")
"""Names of settings; none of this shell's may reach a test."""
LIVE_ENVIRONMENT = pytest.StashKey[dict[str, str]]()
"""The settings of this shell, for the tests that `--live` is for; empty without it."""
SHARED_MEMORY = Path("/dev/shm")
SHARED_MEMORY_PREFIX = "avatar-triton-"
"""How the names of our shared memory begin; the pid of the owner follows."""
END_S = 15.0
"""How long tasks and children may take to end once a test has let go of them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run tests that are too long for every day")
    parser.addoption("--live", action="store_true", help="ask the real vendors, with the keys of the environment")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: too long for every day; runs with --full")
    own = {name: value for name, value in os.environ.items() if name.startswith(PREFIXES)}
    for name in own:
        del os.environ[name]
    config.stash[LIVE_ENVIRONMENT] = own if config.getoption("--live") else {}
    # Where avatars that users make lie by default: no test may see this user's.
    os.environ["XDG_DATA_HOME"] = str(Path(tempfile.gettempdir()) / f"avatar-tests-{os.getpid()}")
    # A shell that runs the tests in the background ignores SIGINT, and the commands under test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--full"):
        return
    full = [item for item in items if item.get_closest_marker("full")]
    config.hook.pytest_deselected(items=full)
    items[:] = [item for item in items if item not in full]


def _is_unit(item: pytest.Item) -> bool:
    return item.path.is_relative_to(UNIT)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def` tests: in virtual time below tests/unit, in a real loop elsewhere."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def main() -> None:
        await pyfuncitem.obj(**arguments)
        await _no_tasks_left(END_S)

    with asyncio.Runner(loop_factory=VirtualTimeLoop if _is_unit(pyfuncitem) else None) as runner:
        runner.run(main())
    return True


async def _no_tasks_left(within_s: float) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        _, tasks = await asyncio.wait(tasks, timeout=within_s)
    if tasks:
        pytest.fail("tasks left behind:\n" + "\n".join(f"  {task!r}" for task in tasks))


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test after which child processes or shared memory of ours are left that were not there before."""
    children, memory = _children(), _shared_memory()
    yield
    deadline_s = time.monotonic() + END_S
    while (processes := _children() - children) | (names := _shared_memory() - memory):
        if time.monotonic() > deadline_s:
            left = [f"process {pid} ({_command(pid)})" for pid in processes] + [*names]
            pytest.fail(f"left behind: {', '.join(sorted(left))}")
        time.sleep(0.05)


def _children() -> set[str]:
    """Pids of the processes that this one has started, directly or as the heir of one that ended."""
    pids: set[str] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that ended since it was listed; its children moved to one that is left
            pids |= set(path.read_text().split())
    return pids


def _command(pid: str) -> str:
    try:
        return Path("/proc", pid, "comm").read_text().strip()
    except OSError:
        return "gone"


def _shared_memory() -> set[str]:
    """Our shared memory whose owner is this process or one that is gone."""
    names = {path.name for path in SHARED_MEMORY.glob(f"{SHARED_MEMORY_PREFIX}*")}
    return {name for name in names if _is_ours(name.removeprefix(SHARED_MEMORY_PREFIX).partition("-")[0])}


def _is_ours(pid: str) -> bool:
    return pid == str(os.getpid()) or not Path("/proc", pid).exists()


class _SocketGuard:
    """Refuses connections and listeners while a unit test runs. An audit hook cannot be taken back, so it has a switch.

    Libraries in C, gRPC among them, are not seen.
    """

    def __init__(self) -> None:
        self.active = False
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.active and event in ("socket.connect", "socket.bind", "socket.getaddrinfo"):
            raise AssertionError(
                f"a unit test opens no sockets: {event} {arguments[1:]!r}; it belongs to tests/service"
            )


_guard = _SocketGuard()


@pytest.fixture(autouse=True)
def no_sockets_in_unit_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """Unit tests open no sockets."""
    _guard.active = _is_unit(request.node)
    yield
    _guard.active = False
