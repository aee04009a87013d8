"""Options that several commands have, and how a command runs, fails and stops."""

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import asdict, is_dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from avatar.v1 import ConverseConfig, FrameEncoding
from avatar_client.client import ADDRESS
from avatar_client.errors import AvatarClientError
from avatar_client.events import Notice, Resumed
from avatar_client.facts import AudioEncoding

T = TypeVar("T")

EXIT_INTERRUPTED: Final = 130
"""What shells give a command that Ctrl-C ended."""

errors = Console(stderr=True, highlight=False)
output = Console(highlight=False)


class Encoding(StrEnum):
    """Encodings of audio on the wire."""

    linear16 = "linear16"
    mulaw = "mulaw"
    opus = "opus"


class VoiceEncoding(StrEnum):
    """Encodings of a voice that is brought to `Animate`."""

    linear16 = "linear16"
    mulaw = "mulaw"


class FrameFormat(StrEnum):
    """Encodings of pictures on the wire."""

    jpeg = "jpeg"
    raw = "raw"
    h264 = "h264"


WORDS: Final[dict[str, AudioEncoding]] = {"linear16": "LINEAR16", "mulaw": "MULAW", "opus": "OPUS"}
"""Encodings as the library names them."""


def _address(value: str) -> str:
    """HOST:PORT, unless it is another of gRPC's targets, such as unix:/path or dns:///name."""
    host, _, port = value.rpartition(":")
    if "/" in value or (host and port.isdecimal() and 0 < int(port) < 65_536):
        return value
    raise typer.BadParameter(f"{value!r} is no HOST:PORT; give for example {ADDRESS}")


Server = Annotated[str, typer.Option(metavar="HOST:PORT", callback=_address, help="Address of the avatar service.")]
Avatar = Annotated[str, typer.Option(metavar="ID", help="Avatar; without it, the server's default.")]
Voice = Annotated[str, typer.Option(metavar="ID", help="Voice; without it, the server's default.")]
Out = Annotated[Path | None, typer.Option(metavar="FILE.mp4", help="Record to this file: H.264, and AAC at 48 kHz.")]
Play = Annotated[bool, typer.Option("--play", help="Play the voice through the loudspeaker.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, and no progress.")]
Idle = Annotated[
    bool, typer.Option("--idle", help="Ask for pictures of the silent avatar between turns too; --out records them.")
]
Frames = Annotated[FrameFormat, typer.Option(help="How the pictures are encoded on their way.")]
InputEncoding = Annotated[Encoding, typer.Option(help="How the question's sound is encoded on its way.")]
OutputEncoding = Annotated[Encoding, typer.Option(help="How the avatar's voice is encoded on its way.")]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work: what goes wrong is one line on standard error and an exit status other than 0."""
    try:
        return asyncio.run(work)
    except AvatarClientError as error:
        fail(str(error), error)
    except KeyboardInterrupt as error:
        errors.print("avatar-client: stopped")
        raise typer.Exit(EXIT_INTERRUPTED) from error


def fail(problem: str, cause: BaseException | None = None) -> NoReturn:
    """End the command with status 1 and one line that says why."""
    errors.print(Text(f"avatar-client: {problem}", style="red"), soft_wrap=True)
    raise typer.Exit(1) from cause


def print_notice(notice: Notice) -> None:
    """Tell a notice of the service on standard error."""
    name = notice.reason.lower().replace("_", " ")
    errors.print(Text(f"{name}: {notice.message}" if notice.message else name, style="yellow"), soft_wrap=True)


def print_resumed(resumed: Resumed) -> None:
    """Tell that the conversation goes on over another stream; not if the service only wanted to end the one before."""
    if resumed.cause:
        line = f"resumed after {resumed.outage_s:.1f} s: {resumed.cause.removesuffix(': try again')}"
        errors.print(Text(line, style="yellow"), soft_wrap=True)


def with_pictures(config: ConverseConfig, frames: FrameFormat, *, idle: bool) -> ConverseConfig:
    """`config` with the pictures as the options say."""
    if frames is not FrameFormat.jpeg:
        config.frame_format.encoding = FrameEncoding.Value(f"FRAME_ENCODING_{frames.upper()}")
    if idle:
        config.idle_frames = True
    return config


def print_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    print(json.dumps(_jsonable(value), ensure_ascii=False, default=str), flush=True)


def _jsonable(value: Any) -> Any:
    """`value` with dataclasses as objects and frame rates as numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return _jsonable(asdict(value))
    if isinstance(value, dict):
        return {name: _jsonable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return float(value) if isinstance(value, Fraction) else value
