"""`avatar-client talk`: ask something, watch the answer arrive, record it."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from avatar.v1 import ConverseConfig
from avatar_client.cli.chat import ChatView
from avatar_client.cli.conversing import converse
from avatar_client.cli.microphone import ask_by_microphone
from avatar_client.cli.options import (
    WORDS,
    Avatar,
    Encoding,
    InputEncoding,
    Json,
    Out,
    OutputEncoding,
    Play,
    Server,
    Voice,
    errors,
    fail,
    output,
    print_json,
    run,
)
from avatar_client.cli.progress import Progress
from avatar_client.cli.report import print_turn, problem
from avatar_client.client import ADDRESS
from avatar_client.configs import converse_config
from avatar_client.talk import TalkResult
from avatar_client.talk import talk as hold_conversation
from avatar_client.turns import TurnResult

EXAMPLE = """[bold]Examples[/bold]

avatar-client talk --wav question.wav --out answer.mp4

avatar-client talk --text "How far is the moon?" --json

avatar-client talk --mic --play"""


def talk(
    server: Server = ADDRESS,
    wav: Annotated[
        Path | None,
        typer.Option(
            "--wav",
            "--audio",
            metavar="FILE",
            help="File with the question: WAV, FLAC, MP3 or Ogg; sent in real time.",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="The question as text.")] = None,
    mic: Annotated[bool, typer.Option("--mic", help="Ask by the microphone: Enter begins and ends speaking.")] = False,
    headphones: Annotated[
        bool, typer.Option("--headphones", help="With --mic: keep it open, and let your voice interrupt.")
    ] = False,
    avatar: Avatar = "",
    voice: Voice = "",
    out: Out = None,
    play: Play = False,
    input_encoding: InputEncoding = Encoding.linear16,
    output_encoding: OutputEncoding = Encoding.linear16,
    as_json: Json = False,
) -> None:
    """Ask an avatar a question, by voice or by text, and follow its answer.

    Progress goes to standard error, the result to standard output; --json prints one object a turn.

    Exits with 0 only if the question was answered and, with --out, recorded.
    """
    if [wav is not None, text is not None, mic].count(True) != 1:
        message = "give the question as either --wav FILE or --text TEXT, or ask it with --mic"
        raise typer.BadParameter(message, param_hint="--wav / --text / --mic")
    if text is not None and not text.strip():
        fail("--text: there is nothing to ask; give 1 to 4,000 characters")
    if headphones and not mic:
        raise typer.BadParameter("goes with --mic alone", param_hint="--headphones")
    config = converse_config(
        None,
        avatar=avatar,
        voice=voice,
        system_prompt="",
        input_encoding=WORDS[input_encoding] if mic else None,
        output_encoding=WORDS[output_encoding],
    )
    if mic:
        _finish(run(_by_microphone(server, config, headphones, out, play, as_json)), out, printed=True)
    else:
        asked = _talk(server, wav, text or "", out, play, config, input_encoding, as_json)
        _finish(run(asked), out, printed=as_json)


def _finish(result: TalkResult, out: Path | None, *, printed: bool) -> None:
    """Tell the result; ends the command with status 1 if it did not do what it says."""
    if not printed:
        for turn in result.turns:
            print_turn(turn, output)
        if result.path:
            output.print(f"Recorded {result.recorded_s:.2f} s to {result.path}", soft_wrap=True)
    found = problem(result, None)
    if not found and not result.answered:
        found = "the question was not answered: nothing was understood; check that the recording holds clear speech"
    if found := found or problem(result, out):
        fail(found)


async def _talk(
    server: str,
    wav: Path | None,
    text: str,
    out: Path | None,
    play: bool,
    config: ConverseConfig,
    input_encoding: Encoding,
    as_json: bool,
) -> TalkResult:
    """Ask by a file or a text, with live progress unless JSON is wanted."""
    with nullcontext() if as_json else Progress(errors, text) as progress:
        return await hold_conversation(
            server,
            wav=wav,
            text=text,
            out=out,
            play=play,
            config=config,
            input_encoding=WORDS[input_encoding],
            on_event=progress.add if progress else None,
            on_turn=_print_json if as_json else None,
        )


async def _by_microphone(
    server: str, config: ConverseConfig, headphones: bool, out: Path | None, play: bool, as_json: bool
) -> TalkResult:
    """Ask by the microphone until the person leaves; the turns are told as they come."""
    view = None if as_json else ChatView(output)
    return await converse(
        server,
        config,
        lambda session: ask_by_microphone(session, headphones=headphones),
        out=out,
        play=play,
        on_event=view.add if view else None,
        on_turn=view.end_turn if view else _print_json,
    )


def _print_json(turn: TurnResult) -> None:
    print_json(turn.to_json())
