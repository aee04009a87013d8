"""`avatar-client talk`: ask something, watch the answer arrive, record it."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avatar.v1 import ConverseConfig
from avatar_client.cli.progress import Progress
from avatar_client.errors import AvatarClientError
from avatar_client.talk import TalkResult
from avatar_client.talk import talk as hold_conversation
from avatar_client.turns import TurnResult

SERVER = "127.0.0.1:50051"
EXIT_INTERRUPTED = 130  # what shells give a command that Ctrl-C ended

EXAMPLE = """[bold]Examples[/bold]

avatar-client talk --wav question.wav --out answer.mp4

avatar-client talk --text "How far is the moon?" --json"""


def talk(
    server: Annotated[str, typer.Option(metavar="HOST:PORT", help="Address of the avatar service.")] = SERVER,
    wav: Annotated[
        Path | None, typer.Option(metavar="FILE", help="WAV file with the question; sent in real time.")
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="The question as text.")] = None,
    avatar: Annotated[
        str, typer.Option(metavar="ID", help="Avatar to talk to; without it, the server's default.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.mp4", help="Record the answer: H.264 and AAC, the question as caption.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a turn, and no progress.")] = False,
) -> None:
    """Ask an avatar a question, by voice or by text, and follow its answer.

    Progress goes to standard error, the result to standard output.

    Exits with 0 only if the question was answered and, with --out, recorded.
    """
    if (wav is None) == (not text):
        raise typer.BadParameter("give the question as either --wav FILE or --text TEXT", param_hint="--wav / --text")
    errors = Console(stderr=True)
    config = ConverseConfig(avatar=avatar if not avatar or "/" in avatar else f"avatars/{avatar}")
    try:
        result = asyncio.run(_talk(server, wav, text or "", out, config, as_json, errors))
    except AvatarClientError as error:
        errors.print(Text(f"avatar-client: {error}", style="red"), soft_wrap=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        errors.print("avatar-client: stopped")
        raise typer.Exit(EXIT_INTERRUPTED) from error
    if not as_json:
        _print_result(result, Console())
    problem = _problem(result, out)
    if problem:
        errors.print(Text(f"avatar-client: {problem}", style="red"), soft_wrap=True)
        raise typer.Exit(1)


async def _talk(
    server: str, wav: Path | None, text: str, out: Path | None, config: ConverseConfig, as_json: bool, errors: Console
) -> TalkResult:
    if as_json:
        return await hold_conversation(server, wav=wav, text=text, out=out, config=config, on_turn=_print_json)
    with Progress(errors, text) as progress:
        return await hold_conversation(
            server, wav=wav, text=text, out=out, config=config, on_response=progress.add, on_turn=None
        )


def _print_json(turn: TurnResult) -> None:
    print(json.dumps(turn.to_json(), ensure_ascii=False), flush=True)


def _print_result(result: TalkResult, console: Console) -> None:
    """Print each turn's words and how long the user waited."""
    for turn in result.turns:
        words = Table.grid(padding=(0, 2))
        words.add_column(style="bold")
        words.add_column(overflow="fold")
        words.add_row("You", Text(turn.transcript or "(nothing was understood)"))
        words.add_row("Avatar", Text(turn.reply or "(no reply)"))
        words.add_row("Ended", Text(_ending(turn)))
        words.add_row("Waited", Text(_waiting(turn)))
        console.print(words)
        console.print()
    if result.path:
        console.print(Text(f"Recorded {result.recorded_s:.2f} s to {result.path}"), soft_wrap=True)


def _ending(turn: TurnResult) -> str:
    ending = turn.outcome.lower().replace("_", " ")
    details = [detail for detail in (turn.message, "degraded" if turn.degraded else "") if detail]
    return f"{ending} ({'; '.join(details)})" if details else ending


def _waiting(turn: TurnResult) -> str:
    if turn.first_audio_ms is None:
        return "no voice came"
    frame = "no frame came" if turn.first_frame_ms is None else f"{turn.first_frame_ms:.0f} ms to the first frame"
    return f"{turn.first_audio_ms:.0f} ms to the first voice, {frame}"


def _problem(result: TalkResult, out: Path | None) -> str:
    """Why the command did not do what it says; empty if it did."""
    failed = [turn for turn in result.turns if turn.failed]
    if failed:
        return f"turn {failed[0].turn_id} failed with {failed[0].status}: {failed[0].message or 'no reason given'}"
    if not result.answered:
        return "the question was not answered: nothing was understood; check that the recording holds clear speech"
    if out and not result.path:
        return f"{out} was not written: the service sent no frames and no voice"
    return ""
