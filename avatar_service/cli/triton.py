"""`avatar-service triton`: Triton alone."""

from pathlib import Path
from typing import Annotated

import typer

from avatar_service.cli.running import run
from avatar_service.errors import StartupError
from avatar_service.local.supervisor import supervised_triton
from avatar_service.local.triton import TritonServerSettings
from avatar_service.log import set_up
from avatar_service.settings import Settings


def triton(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="gRPC address; port 0 takes a free one.")
    ] = "127.0.0.1:8001",
    avatars: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of avatar bundles; may be given again.", show_default="AVATAR_AVATARS and AVATAR_STORE"
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder of model weights.", show_default="the bundled demonstration model", exists=True),
    ] = None,
) -> None:
    """Start Triton with the models `musetalk` and `prepare`, on a GPU if Triton sees one. Ctrl-C stops it.

    If it dies it is started again on the same ports, longer waits each time, until it is given up with an error.

    The first renders lip-synced frames, the second makes avatars. Prints Triton's gRPC, HTTP and metrics addresses
    when it renders; the last two have free ports. Without --avatars it reads the folders that `avatar-service serve`
    would use here.

    Example: avatar-service triton --listen 127.0.0.1:8001
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise typer.BadParameter(
            f"must be HOST:PORT with a port from 0 to 65535, not {listen!r}", param_hint="--listen"
        )
    run(_triton(host, int(port), tuple(avatars or ()), weights))


async def _triton(host: str, port: int, avatars: tuple[Path, ...], weights: Path | None) -> None:
    configured = Settings.load()
    set_up(configured.server.log_level, configured.server.log_format)
    if not avatars:
        avatars = (configured.server.avatars, configured.preparation.folder)
    settings = TritonServerSettings(host=host, grpc_port=port, avatars_dirs=avatars, model_dir=weights)
    print("starting Triton ...", flush=True)
    async with supervised_triton(settings) as supervisor:
        server = supervisor.server
        print(f"gRPC {server.grpc_address}", flush=True)
        print(f"HTTP http://{server.http_address}", flush=True)
        print(f"metrics http://{server.metrics_address}/metrics", flush=True)
        last_words = await supervisor.given_up()
        raise StartupError(f"Triton does not stay up; its last words:\n{last_words}")
