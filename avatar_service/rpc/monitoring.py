"""Metrics and probes over plain HTTP, on an address of their own: for Prometheus, and for a kubelet without gRPC.

    GET /metrics    every metric, in Prometheus' text format, or in OpenMetrics with exemplars where that is accepted
    GET /healthz    200 as long as the event loop answers, which one that is stuck does not: for a liveness probe
    GET /readyz     200 while new streams are taken in, else 503: for a readiness probe

They are served before the engines are opened and until after they are closed.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

from aiohttp import web

from avatar_service import clock, metrics
from avatar_service.background import running
from avatar_service.errors import StartupError
from avatar_service.settings.types import split_address

STOP_S = 0.5
"""Grace for answers that are being sent at the end."""
SAMPLE_S = 0.5
"""How often the event loop's lag is measured."""

State = Literal["starting", "ready", "draining"]


class Readiness:
    """Whether new streams are taken in."""

    def __init__(self) -> None:
        self._state: State = "starting"
        self._told: list[Callable[[], None]] = []

    @property
    def state(self) -> State:
        """Where the process is between its start and its end."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state
        metrics.READY.set(state == "ready")
        for tell in self._told:
            tell()

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        """While the block runs, call `tell` at its begin and after each change."""
        self._told.append(tell)
        try:
            tell()
            yield
        finally:
            self._told.remove(tell)


@asynccontextmanager
async def monitored(listen: str, readiness: Readiness) -> AsyncIterator[str]:
    """Measure the event loop during the block, and serve metrics and probes on `listen` unless it is empty.

    Yields the base URL, or an empty text. Raises StartupError if the address cannot be bound.
    """
    async with running(_measure_lag()):
        if not listen:
            yield ""
            return
        runner = web.AppRunner(_app(readiness), access_log=None, shutdown_timeout=STOP_S)
        await runner.setup()
        try:
            yield await _listen(runner, listen)
        finally:
            await runner.cleanup()


async def _listen(runner: web.AppRunner, listen: str) -> str:
    host, port = split_address(listen)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise StartupError(
            f"AVATAR_METRICS_LISTEN: cannot listen on {listen} ({reason}); {host}:0 takes a free port, an empty value "
            "switches metrics off"
        ) from error
    return f"http://{listen.rpartition(':')[0]}:{runner.addresses[0][1]}"


def _app(readiness: Readiness) -> web.Application:
    async def show_metrics(request: web.Request) -> web.Response:
        metrics.TASKS.set(len(asyncio.all_tasks()))
        body, media_type = metrics.exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": media_type})

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text=f"{readiness.state}\n", status=200 if readiness.state == "ready" else 503)

    app = web.Application()
    for path, handler in (("/metrics", show_metrics), ("/healthz", live), ("/readyz", ready)):
        app.router.add_get(path, handler)
    return app


async def _measure_lag() -> None:
    while True:
        due_s = clock.now() + SAMPLE_S
        await asyncio.sleep(SAMPLE_S)
        metrics.LOOP_LAG.observe(clock.now() - due_s)
