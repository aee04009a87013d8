"""`avatar-service serve`: the gRPC service alone."""

import asyncio
from typing import Annotated

import typer

from avatar_service.avatars.catalogue import Catalogue
from avatar_service.cli.running import run
from avatar_service.engines.wiring import open_engines
from avatar_service.log import set_up
from avatar_service.rpc.server import running_server
from avatar_service.settings import Settings


def serve(
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Address to listen on, instead of AVATAR_LISTEN.")
    ] = None,
) -> None:
    """Serve the gRPC service, configured by the environment or `.env`.

    Vendors need a key or a base URL, and a Triton with the model must be reachable.

    Example: OPENAI_API_KEY=... ELEVENLABS_API_KEY=... avatar-service serve --listen 127.0.0.1:50051
    """
    run(_serve(listen))


async def _serve(listen: str | None) -> None:
    settings = Settings.load()
    settings = settings.listening_on(listen) if listen else settings
    settings.require_vendors()
    set_up(settings.server.log_level, settings.server.log_format)
    catalogue = Catalogue.load(settings.server.avatars, settings.server.default_avatar)
    async with open_engines(settings) as engines, running_server(settings, engines, catalogue) as address:
        print(f"serving on {address}", flush=True)
        await asyncio.Event().wait()
