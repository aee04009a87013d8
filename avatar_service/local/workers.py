"""Several processes of `serve` on one machine, each a whole service on ports of its own: started, kept, stopped.

One that dies is started again, sooner or later as restarts.py says. Events: `worker_died`, `worker_restarting`,
`worker_back`, and `sessions_not_shared` where no Redis lets one worker resume the sessions of another.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from avatar_service import clock
from avatar_service.errors import StartupError
from avatar_service.local.child_process import ChildCommand, ChildProcess
from avatar_service.local.restarts import Restarts
from avatar_service.log import get_logger
from avatar_service.rpc.server import require_free
from avatar_service.settings import Settings
from avatar_service.settings.types import split_address

log = get_logger(__name__)

SERVES = "serving on "
"""How the line begins by which `serve` says that it serves."""
STOP_S = 15.0
"""Beyond the grace for open streams: how long a worker may take to end before it is killed."""
_LISTENING = ("listen", "metrics_listen", "health_listen")
"""The settings that are addresses, as ServerSettings names them."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Worker:
    """One process: its number from 0, and where it listens, by the names of the settings."""

    number: int
    addresses: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """What it is started with beside the parent's own environment; its vendors' keys, which children are not
        given by themselves, included."""
        keys = {name: value for name, value in os.environ.items() if name.endswith("_API_KEY")}
        return {**keys, **self.addresses, "AVATAR_WORKERS": "1"}


async def run_workers(settings: Settings, tell: Tell, argv: tuple[str, ...] = ()) -> None:
    """Run as many workers as the settings say, until cancelled; `tell` is given every line that they print.

    `argv` is the command of a worker, where it is not `avatar-service serve`. Raises StartupError if one does not
    start, or dies again and again.
    """
    workers = workers_of(settings)
    for worker in workers:
        for name, address in worker.addresses.items():
            if address:
                require_free(address, name)
    if len(workers) > 1 and not settings.sessions.redis_url.get_secret_value():
        log.warning("sessions_not_shared", advice="set AVATAR_REDIS_URL, or only its own worker resumes one")
    argv = argv or (sys.executable, "-m", "avatar_service", "serve")
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            for worker in workers:
                command = ChildCommand(
                    name=f"worker {worker.number}",
                    argv=argv,
                    env=worker.environment,
                    stop_timeout_s=settings.server.stop_grace_s + STOP_S,
                )
                tasks.create_task(_keep(worker.number, command, tell))
    except* StartupError as errors:
        failure = errors.exceptions[0]
    if failure:
        raise failure


def workers_of(settings: Settings) -> list[Worker]:
    """Where each worker listens: port 0 takes a free one, an empty address stays empty. Raises StartupError."""
    server = settings.server
    workers = []
    for number in range(server.workers):
        addresses = {f"AVATAR_{name.upper()}": _shifted(name, getattr(server, name), number) for name in _LISTENING}
        workers.append(Worker(number, addresses))
    taken = dict[str, str]()
    for name, port in _ports(workers):
        if taken.setdefault(port, name) != name:
            raise StartupError(
                f"{name} and {taken[port]}: with {server.workers} workers both come to port {port}; set them at least "
                f"{server.workers} apart"
            )
    return workers


def _ports(workers: list[Worker]) -> Iterator[tuple[str, str]]:
    """The name and port of every address that has one."""
    for worker in workers:
        for name, address in worker.addresses.items():
            if port := address.rpartition(":")[2].lstrip("0"):
                yield name, port


def _shifted(name: str, address: str, number: int) -> str:
    """The address whose port is so much higher; a port 0 is free for each."""
    if not address or not split_address(address)[1]:
        return address
    host, _, port = address.rpartition(":")
    if int(port) + number > 65_535:
        raise StartupError(f"AVATAR_{name.upper()}: worker {number} comes to a port above 65535; set a lower one")
    return f"{host}:{int(port) + number}"


async def _keep(number: int, command: ChildCommand, tell: Tell) -> None:
    """Run a worker, and another whenever it has died. Raises StartupError if that does not help."""
    restarts, has_served, died_s = Restarts(), False, clock.now()

    def told(line: str) -> None:
        nonlocal has_served
        tell(line)
        if line.startswith(SERVES):
            if has_served:
                log.info("worker_back", worker=number, after_s=round(clock.now() - died_s, 3))
            has_served = True
            restarts.started()

    while True:
        async with ChildProcess(command, told) as process:
            code = await process.wait_exit()
        if not has_served:
            raise StartupError(f"{command.name} ended while it started, exit code {code}; what it said stands above")
        died_s = clock.now()
        log.error("worker_died", worker=number, exit_code=code)
        restarts.died()
        wait_s = restarts.next_wait_s()
        if wait_s is None:
            raise StartupError(f"{command.name} died again and again, exit code {code}; what it said stands above")
        log.info("worker_restarting", worker=number, in_s=wait_s)
        await asyncio.sleep(wait_s)
