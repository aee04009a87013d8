"""`avatar-service triton`: Triton alone."""

from pathlib import Path
from typing import Annotated

import typer

from avatar_service.cli.running import run
from avatar_service.errors import StartupError
from avatar_service.local.triton import TritonServer, TritonServerSettings


def triton(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="gRPC address; port 0 takes a free one.")
    ] = "127.0.0.1:8001",
    avatars: Annotated[
        Path | None, typer.Option(help="Folder of avatar bundles.", show_default="the bundled avatars", exists=True)
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder of model weights.", show_default="the bundled demonstration model", exists=True),
    ] = None,
) -> None:
    """Start Triton with the lip-sync model `musetalk`, on a GPU if Triton sees one. Ctrl-C stops it.

    Prints its gRPC, HTTP and metrics addresses when the model renders; the last two have free ports.

    Example: avatar-service triton --listen 127.0.0.1:8001
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise typer.BadParameter(
            f"must be HOST:PORT with a port from 0 to 65535, not {listen!r}", param_hint="--listen"
        )
    settings = TritonServerSettings(
        host=host, grpc_port=int(port), avatars_dirs=(avatars,) if avatars else (), model_dir=weights
    )
    run(_triton(settings))


async def _triton(settings: TritonServerSettings) -> None:
    print("starting Triton ...", flush=True)
    async with TritonServer(settings) as server:
        print(f"gRPC {server.grpc_address}", flush=True)
        print(f"HTTP http://{server.http_address}", flush=True)
        print(f"metrics http://{server.metrics_address}/metrics", flush=True)
        code = await server.wait_exit()
        raise StartupError("\n".join((f"Triton ended with exit code {code}; its last output:", *server.log[-20:])))
