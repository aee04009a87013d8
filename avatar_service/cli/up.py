"""`avatar-service up`: the whole system on this machine."""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from avatar_service.cli.running import run
from avatar_service.local.system import running_system
from avatar_service.log import set_up
from avatar_service.settings import Settings


class Vendors(StrEnum):
    """Who transcribes, answers and speaks."""

    SANDBOX = "sandbox"
    REAL = "real"


def up(
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Address to listen on, instead of AVATAR_LISTEN.")
    ] = None,
    vendors: Annotated[
        Vendors, typer.Option(help="`sandbox`: small models on this machine; `real`: OpenAI and ElevenLabs by key.")
    ] = Vendors.SANDBOX,
    speech_rate: Annotated[
        float | None,
        typer.Option(help="Sandbox: send speech at this many times real time. Unset: as fast as it is made."),
    ] = None,
) -> None:
    """Run the whole system on this machine: sandbox, Triton and the service. Ctrl-C stops all of it.

    Keys and `.env` are ignored unless `--vendors real`.

    Example: avatar-service up

    Then, in another terminal: avatar-client talk --text "What is the capital of France?" --out answer.mp4
    """
    run(_up(listen, vendors, speech_rate))


async def _up(listen: str | None, vendors: Vendors, speech_rate: float | None) -> None:
    real = vendors is Vendors.REAL
    settings = Settings.load() if real else Settings.load(env_file=None)
    settings = settings.listening_on(listen) if listen else settings
    settings.access.require_closed(settings.server.listen)
    settings = settings.with_metrics_on("127.0.0.1:0", unless_set=True)
    set_up(settings.server.log_level, settings.server.log_format)
    async with running_system(settings, _say, sandbox=not real, speech_rate=speech_rate) as system:
        if system.sandbox:
            _say(f"sandbox at {system.sandbox.url}")
        _say(f"Triton at http://{system.triton_http}")
        if system.monitoring:
            _say(f"metrics at {system.monitoring}/metrics")
        _say(f"serving on {system.service}; Ctrl-C stops everything")
        await asyncio.Event().wait()


def _say(line: str) -> None:
    print(line, flush=True)
