"""Keeps Triton running: a server that dies is started again on its ports, a model whose process dies is loaded again.

Whoever waits for frames meanwhile gets errors, and goes on without them. What dies again soon after its start waits
longer each time and is given up in the end, see restarts.py. Events: `triton_died`, `triton_restarting`, `triton_back`,
`triton_not_started`, `triton_given_up`, `stub_died`, `model_failed`, `model_reloaded`, `model_given_up`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Generic, Protocol, Self, TypeVar

import aiohttp

from avatar_service import clock
from avatar_service.background import running
from avatar_service.errors import StartupError
from avatar_service.local.model_watch import ModelWatch, Watch
from avatar_service.local.restarts import Restarts
from avatar_service.local.triton import TritonServer, TritonServerSettings
from avatar_service.local.triton_models import MODEL
from avatar_service.log import get_logger

log = get_logger(__name__)


class Server(Protocol):
    """A Triton that runs, as local/triton.py starts it."""

    models: tuple[str, ...]
    grpc_address: str
    http_address: str
    metrics_address: str

    async def __aenter__(self) -> Self:
        """Start it and wait until it renders. Raises StartupError."""

    async def stop(self) -> None:
        """Stop it and remove what it leaves. Safe to repeat."""

    async def wait_exit(self) -> int:
        """Wait until it ends by itself; returns its exit code."""

    @property
    def has_exited(self) -> bool:
        """Whether it has ended."""

    @property
    def log(self) -> list[str]:
        """The last lines of its output."""

    @property
    def pid(self) -> int:
        """Its process id."""


S = TypeVar("S", bound=Server)


class Supervisor(Generic[S]):
    """Looks after one Triton, whose addresses stay the same."""

    def __init__(
        self,
        server: S,
        start_again: Callable[[], S],
        watch: Callable[[S], Watch],
    ) -> None:
        """`start_again` makes a server that listens where `server` does."""
        self._server = server
        self._start_again = start_again
        self._watch = watch
        self._restarts = Restarts()
        self._given_up = asyncio.Event()
        self._not_started = ""
        """Why the last start failed; empty if it did not."""

    @property
    def server(self) -> S:
        """The server that runs, or that ran last."""
        return self._server

    async def given_up(self) -> str:
        """Wait until Triton is started no more; returns why, or the last lines of its output."""
        await self._given_up.wait()
        return self._not_started or "\n".join(self._server.log[-20:])

    async def run(self) -> None:
        """Look after it until it is given up."""
        while await self._is_started_again_after(await self._end()):
            pass
        log.error("triton_given_up", advice="look at its log, then start it again; voices go on without frames")
        self._given_up.set()

    async def _end(self) -> str:
        """Wait until only another start helps; returns why."""
        watch = self._watch(self._server)
        async with asyncio.TaskGroup() as tasks:
            exited = tasks.create_task(self._server.wait_exit())
            mending = [tasks.create_task(self._mend(model, watch)) for model in self._server.models]
            await asyncio.wait({exited, *mending}, return_when=asyncio.FIRST_COMPLETED)
            if self._server.has_exited:
                await exited
            for task in (exited, *mending):
                task.cancel()
        return f"{MODEL} could not be mended" if exited.cancelled() else f"exit code {exited.result()}"

    async def _is_started_again_after(self, reason: str) -> bool:
        """Start another server; False once that has been tried often enough."""
        began_s = clock.now()
        log.warning("triton_died", reason=reason)
        self._restarts.died()
        await self._server.stop()
        while (wait_s := self._restarts.next_wait_s()) is not None:
            log.info("triton_restarting", in_s=wait_s)
            await asyncio.sleep(wait_s)
            server = self._start_again()
            try:
                await server.__aenter__()
            except (StartupError, OSError) as error:
                self._not_started = str(error)
                log.warning("triton_not_started", reason=self._not_started.partition("\n")[0])
                continue
            self._server, self._not_started = server, ""
            self._restarts.started()
            log.info("triton_back", after_s=round(clock.now() - began_s, 3), pid=server.pid)
            return True
        return False

    async def _mend(self, model: str, watch: Watch) -> None:
        """Load a model again whenever it is lost; returns when that does not help.

        A server is not started again for the sake of `prepare`: that would take lips away from conversations.
        """
        restarts = self._restarts if model == MODEL else Restarts()
        while True:
            reason = await watch.lost(model)
            if self._server.has_exited:
                return  # it is started again with all of its models
            log.warning("stub_died" if reason == "ended" else "model_failed", model=model, reason=reason)
            if not await self._is_loaded_again(model, watch, restarts):
                break
        if model != MODEL:
            log.error("model_given_up", model=model, advice="avatars cannot be made until Triton is started again")
            await asyncio.Event().wait()

    async def _is_loaded_again(self, model: str, watch: Watch, restarts: Restarts) -> bool:
        """Load a model: the one that renders once, since a start of the server helps it too; another until it is given
        up."""
        began_s = clock.now()
        restarts.died()
        while (wait_s := restarts.next_wait_s()) is not None:
            await asyncio.sleep(wait_s)
            if await watch.load(model):
                restarts.started()
                log.info("model_reloaded", model=model, after_s=round(clock.now() - began_s, 3))
                return True
            if model == MODEL:
                break
        return False


@asynccontextmanager
async def supervised_triton(
    settings: TritonServerSettings,
) -> AsyncIterator[Supervisor[TritonServer]]:
    """Start Triton and look after it during the block. Raises StartupError if it does not start the first time."""
    # A connection for each request: of one that is kept nobody would know that its server is another by now.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as http:
        server = await TritonServer(settings).__aenter__()
        ports = [
            int(at.rpartition(":")[2]) for at in (server.grpc_address, server.http_address, server.metrics_address)
        ]
        same_place = replace(settings, grpc_port=ports[0], http_port=ports[1], metrics_port=ports[2])
        supervisor = Supervisor(
            server, lambda: TritonServer(same_place), lambda running: ModelWatch(running.asked_over(http), running.pid)
        )
        try:
            async with running(supervisor.run()):
                yield supervisor
        finally:
            await supervisor.server.stop()
