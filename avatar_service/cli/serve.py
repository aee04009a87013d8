"""`avatar-service serve`: the gRPC service alone."""

import asyncio
from typing import Annotated

import typer

from avatar_service.avatars.catalogue import Catalogue
from avatar_service.cli.running import run
from avatar_service.engines.wiring import open_engines
from avatar_service.garbage import settle
from avatar_service.local.workers import run_workers
from avatar_service.log import set_up
from avatar_service.rpc.exporting import exported
from avatar_service.rpc.health_port import health_served
from avatar_service.rpc.monitoring import Readiness, monitored
from avatar_service.rpc.server import require_free, running_server
from avatar_service.settings import Settings


def serve(
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Address to listen on, instead of AVATAR_LISTEN.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Processes, each on the next port, instead of AVATAR_WORKERS."),
    ] = None,
) -> None:
    """Serve the gRPC service, configured by the environment or `.env`.

    Vendors need a key or a base URL, and a Triton with the model must be reachable; `avatar-service doctor` checks all.
    SIGTERM refuses new streams, gives open ones AVATAR_STOP_GRACE_S, and ends with exit code 0.

    Each of several workers is a whole service, on the next port of every address; one that dies is started again.

    Example: OPENAI_API_KEY=... ELEVENLABS_API_KEY=... avatar-service serve --listen 127.0.0.1:50051 --workers 2
    """
    run(_serve(listen, workers))


async def _serve(listen: str | None, workers: int | None) -> None:
    settings = Settings.load()
    settings = settings.listening_on(listen) if listen else settings
    settings = settings.with_workers(workers) if workers else settings
    settings.require_vendors()
    settings.access.require_closed(settings.server.listen)
    set_up(settings.server.log_level, settings.server.log_format)
    if settings.server.workers > 1:
        await run_workers(settings, _say)
    else:
        await _serve_alone(settings)


async def _serve_alone(settings: Settings) -> None:
    """One service in this process."""
    catalogue, readiness = Catalogue.of(settings.server, settings.preparation), Readiness()
    require_free(settings.server.listen)
    async with (
        exported(settings.tracing),
        monitored(settings.server.metrics_listen, readiness) as monitoring,
        health_served(settings.server.health_listen, readiness) as health,
        open_engines(settings, catalogue) as engines,
        running_server(settings, engines, catalogue, readiness) as address,
    ):
        settle()
        if monitoring:
            _say(f"metrics at {monitoring}/metrics")
        if health:
            _say(f"health at {health}")
        _say(f"serving on {address}")
        await asyncio.Event().wait()


def _say(line: str) -> None:
    print(line, flush=True)
