"""``avatar-service sandbox``: the stand-in vendors alone."""

import asyncio
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from avatar_service.sandbox.app import Sandbox
from avatar_service.sandbox.errors import SandboxError
from avatar_service.sandbox.faults import load_rules
from avatar_service.sandbox.replay import Replay
from avatar_service.sandbox.settings import SandboxSettings


def sandbox(
    listen: Annotated[str, typer.Option(help="HOST:PORT; port 0 takes a free one.")] = "127.0.0.1:8090",
    key: Annotated[str, typer.Option(help="The key that both vendors accept.")] = "sandbox",
    speech_rate: Annotated[
        float | None, typer.Option(help="Send speech at this many times real time. Unset: as fast as it is made.")
    ] = None,
    transcription_delay: Annotated[
        float, typer.Option(help="Least seconds from request to first byte of a transcript.")
    ] = 0.0,
    chat_delay: Annotated[float, typer.Option(help="Least seconds from request to first byte of a reply.")] = 0.0,
    speech_delay: Annotated[float, typer.Option(help="Least seconds from request to first byte of speech.")] = 0.0,
    replay: Annotated[
        Path | None,
        typer.Option(help="JSON file with the transcript and the reply that every request gets, at its times."),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(help="JSON file with a list of rules that say which requests fail, and how."),
    ] = None,
    verbose: Annotated[bool, typer.Option(help="Log one line a request: route, status, time. Never texts.")] = False,
) -> None:
    """Stand in for OpenAI and ElevenLabs on this machine: small real models, no keys, no network.

    The first line on stdout is the address; a second one follows when the models are loaded. Ctrl-C stops it.

    Example: avatar-service sandbox --listen 127.0.0.1:8090 --speech-rate 4

    Then: OPENAI_BASE_URL=http://127.0.0.1:8090/openai/v1 OPENAI_API_KEY=sandbox
    ELEVENLABS_BASE_URL=http://127.0.0.1:8090/elevenlabs ELEVENLABS_API_KEY=sandbox

    It hears and speaks English. Replies are fluent and often wrong, and have two sentences; ask for "three sentences"
    to get three. A function is called when the question holds the words of its name ("weather" calls get_weather).
    Voices are Rachel, George, Adam and Sarah, in every output format that ElevenLabs documents.

    Faults: avatar-service sandbox --faults faults.json, where the file holds for instance
    [{"on": "chat", "fault": "status", "status": 429, "retry_after_s": 1, "first": 2},
    {"on": "speech", "fault": "stall", "after": 3, "probability": 0.1, "seed": 7}].
    POST such a list to /sandbox/faults to change them, GET it to see counts. docs/sandbox.md lists all faults.

    GET /sandbox/requests on the same address lists times and sizes of the last requests, never texts.
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(message)s")
    try:
        host, port = parse_address(listen)
        settings = SandboxSettings(
            key=key,
            speech_rate=speech_rate,
            transcription_delay_s=transcription_delay,
            chat_delay_s=chat_delay,
            speech_delay_s=speech_delay,
        )
        script = Replay.load(replay) if replay else None
        rules = load_rules(faults) if faults else []
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    _serve(Sandbox(settings, script, rules), host, port)


def parse_address(address: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``; ``ValueError`` says what is wrong with it."""
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"--listen must be HOST:PORT with a port from 0 to 65535, not {address!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _serve(server: Sandbox, host: str, port: int) -> None:
    """Serve until a signal; exits with 1 and the reason if the sandbox cannot start or go on."""
    try:
        unjoined = asyncio.run(_run(server, host, port))
    except SandboxError as error:
        typer.echo(f"sandbox: {error}", err=True)
        raise typer.Exit(1) from error
    if unjoined:
        # Interpreter shutdown would wait for, or crash in, native code that is still loading a model.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


async def _run(server: Sandbox, host: str, port: int) -> list[str]:
    """Serve until SIGINT or SIGTERM; returns the models whose threads could not be joined."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    failure: Exception | None = None
    print(f"sandbox listening on {await server.start(host, port)}", flush=True)
    try:
        async with asyncio.TaskGroup() as tasks:
            loading = tasks.create_task(_announce_loaded(server))
            await stop.wait()
            loading.cancel()
    except* SandboxError as errors:
        failure = errors.exceptions[0]
    finally:
        unjoined = await server.aclose()
    if failure is not None:
        raise failure
    return unjoined


async def _announce_loaded(server: Sandbox) -> None:
    started_s = time.monotonic()
    await server.loaded()
    print(f"sandbox ready after {time.monotonic() - started_s:.1f} s", flush=True)


if __name__ == "__main__":
    typer.run(sandbox)
