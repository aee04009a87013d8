"""`avatar-service serve`: the gRPC service alone."""

import asyncio
from typing import Annotated

import typer

from avatar_service.avatars.catalogue import Catalogue
from avatar_service.cli.running import run
from avatar_service.engines.wiring import open_engines
from avatar_service.log import set_up
from avatar_service.rpc.exporting import exported
from avatar_service.rpc.monitoring import Readiness, monitored
from avatar_service.rpc.server import require_free, running_server
from avatar_service.settings import Settings


def serve(
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Address to listen on, instead of AVATAR_LISTEN.")
    ] = None,
) -> None:
    """Serve the gRPC service, configured by the environment or `.env`.

    Vendors need a key or a base URL, and a Triton with the model must be reachable; `avatar-service doctor` checks all.
    SIGTERM refuses new streams, gives open ones AVATAR_STOP_GRACE_S, and ends with exit code 0.

    Example: OPENAI_API_KEY=... ELEVENLABS_API_KEY=... avatar-service serve --listen 127.0.0.1:50051
    """
    run(_serve(listen))


async def _serve(listen: str | None) -> None:
    settings = Settings.load()
    settings = settings.listening_on(listen) if listen else settings
    settings.require_vendors()
    set_up(settings.server.log_level, settings.server.log_format)
    catalogue, readiness = Catalogue.of(settings.server, settings.preparation), Readiness()
    require_free(settings.server.listen)
    async with (
        exported(settings.tracing),
        monitored(settings.server.metrics_listen, readiness) as monitoring,
        open_engines(settings, catalogue) as engines,
        running_server(settings, engines, catalogue, readiness) as address,
    ):
        if monitoring:
            print(f"metrics at {monitoring}/metrics", flush=True)
        print(f"serving on {address}", flush=True)
        await asyncio.Event().wait()
