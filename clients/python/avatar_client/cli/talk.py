"""`avatar-client talk`: ask something, watch the answer arrive, record it."""

import sys
from collections.abc import Sequence
from contextlib import aclosing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from avatar.v1 import ConverseConfig, EchoHandling
from avatar_client.cli.access import client_of
from avatar_client.cli.chat import ChatView
from avatar_client.cli.conversing import converse
from avatar_client.cli.microphone import ask_by_microphone
from avatar_client.cli.options import (
    WORDS,
    Avatar,
    Encoding,
    FrameFormat,
    Frames,
    Idle,
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
    with_pictures,
)
from avatar_client.cli.progress import Progress
from avatar_client.cli.report import print_turn, problem
from avatar_client.cli.terminal import is_terminal, read_keys
from avatar_client.client import ADDRESS
from avatar_client.configs import converse_config
from avatar_client.conversation import AsyncConversation
from avatar_client.errors import StreamEnded
from avatar_client.talk import TalkResult
from avatar_client.talk import talk as hold_conversation
from avatar_client.turns import TurnLog, TurnResult

EXAMPLE = """[bold]Examples[/bold]

avatar-client talk --wav question.wav --out answer.mp4

avatar-client talk --text "How far is the moon?" --json

avatar-client talk --text "Tell me a story." --idle --frames h264 --out story.mp4

avatar-client talk --mic --play

avatar-client talk --mic --headphones --play"""


Mic = Annotated[
    bool, typer.Option("--mic", help="Ask by the microphone, push to talk: Space or Enter begins and ends speaking.")
]
Headphones = Annotated[
    bool, typer.Option("--headphones", help="With --mic: keep it open, and let your voice interrupt.")
]
Echo = Annotated[
    bool,
    typer.Option("--echo", help="With --mic: keep it open beside a loudspeaker, whose echo the service suppresses."),
]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, where, and what becomes of the answer."""

    server: str
    config: ConverseConfig
    wav: Path | None = None
    text: str = ""
    out: Path | None = None
    play: bool = False
    as_json: bool = False


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
    mic: Mic = False,
    headphones: Headphones = False,
    echo: Echo = False,
    avatar: Avatar = "",
    voice: Voice = "",
    out: Out = None,
    play: Play = False,
    idle: Idle = False,
    frames: Frames = FrameFormat.jpeg,
    input_encoding: InputEncoding = Encoding.linear16,
    output_encoding: OutputEncoding = Encoding.linear16,
    as_json: Json = False,
) -> None:
    """Ask an avatar a question, by voice or by text, and follow its answer.

    At a terminal, i stops the avatar and Ctrl-C ends the command.

    With --mic, Ctrl-C stops the avatar first, and ends the command the second time.

    Progress goes to standard error, the result to standard output; --json prints one object a turn.

    Exits with 0 only if the question was answered and, with --out, recorded.
    """
    _check([wav is not None, text is not None, mic], text, headphones=headphones, echo=echo)
    config = converse_config(
        None,
        avatar=avatar,
        voice=voice,
        system_prompt="",
        input_encoding=WORDS[input_encoding] if mic else None,
        output_encoding=WORDS[output_encoding],
        manual_turns=mic and not (headphones or echo),
    )
    if echo:
        config.echo_handling = EchoHandling.ECHO_HANDLING_SUPPRESS
    config = with_pictures(config, frames, idle=idle)
    question = Question(server, config, wav, text or "", out, play, as_json)
    if mic:
        _finish(run(_by_microphone(question, is_open=headphones or echo)), out, printed=True)
    else:
        _finish(run(_talk(question, input_encoding)), out, printed=as_json)


def _check(questions: Sequence[bool], text: str | None, *, headphones: bool, echo: bool) -> None:
    """Refuse options that do not go together; `questions` tells whether there is a file, a text, a microphone."""
    if list(questions).count(True) != 1:
        message = "give the question as either --wav FILE or --text TEXT, or ask it with --mic"
        raise typer.BadParameter(message, param_hint="--wav / --text / --mic")
    if text is not None and not text.strip():
        fail("--text: there is nothing to ask; give 1 to 4,000 characters")
    for given, name in ((headphones, "--headphones"), (echo, "--echo")):
        if given and not questions[-1]:
            raise typer.BadParameter("goes with --mic alone", param_hint=name)
    if headphones and echo:
        raise typer.BadParameter("give one of them: headphones have no echo", param_hint="--headphones / --echo")


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


async def _talk(question: Question, input_encoding: Encoding) -> TalkResult:
    """Ask by a file or a text, with live progress unless JSON is wanted."""
    has_keys = is_terminal(sys.stdin)
    progress = None if question.as_json else Progress(errors, question.text, has_keys=has_keys)

    async def beside(conversation: AsyncConversation, log: TurnLog) -> None:
        if progress:
            progress.log = log
        if has_keys:
            await _interrupt_by_key(conversation, log)

    with progress or nullcontext():
        return await hold_conversation(
            question.server,
            wav=question.wav,
            text=question.text,
            out=question.out,
            play=question.play,
            config=question.config,
            input_encoding=WORDS[input_encoding],
            on_event=progress.add if progress else None,
            on_turn=_print_json if question.as_json else None,
            beside=beside,
            client=client_of(question.server),
        )


async def _interrupt_by_key(conversation: AsyncConversation, log: TurnLog) -> None:
    """Stop the avatar at each i while it answers, for as long as the stream is open."""
    with suppress(StreamEnded):
        async with aclosing(read_keys(sys.stdin.fileno())) as keys:
            async for key in keys:
                if key in ("i", "I") and log.is_answering:
                    await conversation.interrupt()


async def _by_microphone(question: Question, *, is_open: bool) -> TalkResult:
    """Ask by the microphone until the person leaves; the turns are told as they come."""
    view = None if question.as_json else ChatView(output)
    return await converse(
        question.server,
        question.config,
        lambda session: ask_by_microphone(session, is_open=is_open),
        out=question.out,
        play=question.play,
        keys=True,
        on_event=view.add if view else None,
        on_turn=view.end_turn if view else _print_json,
    )


def _print_json(turn: TurnResult) -> None:
    print_json(turn.to_json())
