"""`avatar-client load`: many paced conversations at once, and what they showed."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.live import Live
from rich.text import Text

from avatar.v1 import ConverseConfig
from avatar_client.cli.access import client_of
from avatar_client.cli.options import EXIT_INTERRUPTED, Avatar, Server, errors, fail, output, run
from avatar_client.cli.terminal import on_ctrl_c
from avatar_client.client import ADDRESS
from avatar_client.configs import converse_config
from avatar_client.load.driver import run_load
from avatar_client.load.measuring import Book
from avatar_client.load.picture import draw
from avatar_client.load.plan import BadPlan, Plan
from avatar_client.load.questions import Question
from avatar_client.load.report import FailIf, LoadReport
from avatar_client.load.table import table

EXAMPLE = """[bold]Examples[/bold]

avatar-client load --sessions 10 --ramp 5 --duration 60

avatar-client load --sessions 40 --barge-ins 0.2 --slow-readers 0.1 --out load.json --picture load.svg

avatar-client load --text "How far is the moon?" --turns 3 --fail-if "first_frame_ms_p95>800" --fail-if "errors>0"

--duration with --turns is a soak: a session ends after so many turns, and another begins in its place."""

DEFAULT_DURATION_S: Final = 60.0


def load(
    server: Server = ADDRESS,
    sessions: Annotated[int, typer.Option(metavar="N", help="Users that talk at one time.")] = 10,
    ramp: Annotated[float, typer.Option(metavar="SECONDS", help="Time within which they begin.")] = 0.0,
    duration: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long they talk; 60 unless --turns is given.")
    ] = None,
    turns: Annotated[int | None, typer.Option(metavar="K", help="Questions a session.")] = None,
    barge_ins: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of the answers that are interrupted, 0 to 1.")
    ] = 0.0,
    slow_readers: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of the users who stop reading for seconds, 0 to 1.")
    ] = 0.0,
    wav: Annotated[
        list[Path] | None,
        typer.Option("--wav", "--audio", metavar="FILE", help="Question by voice; may be repeated."),
    ] = None,
    text: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Question as text; may be repeated.")] = None,
    avatar: Avatar = "",
    audio_only: Annotated[bool, typer.Option("--audio-only", help="Ask for no pictures.")] = False,
    seed: Annotated[int, typer.Option(help="Decides who does what when; the same seed plans the same.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, and no progress.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write the report to this file too.")] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw the latencies over time.")] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(metavar="LIMIT", help="Exit with 1 if a figure of the report crosses a limit; may be repeated."),
    ] = None,
) -> None:
    """Put a load on a service: users in real time, who ask, listen, interrupt and read slowly, as the shares say.

    Users speak a recorded question, unless --wav or --text gives others. Latencies count from the end of the question.

    Ctrl-C ends the load politely, and the report tells what was seen so far.

    Exits with 0 only if the load was put on as asked, at least one answer came, and no --fail-if limit was crossed.
    """
    if wav and text:
        raise typer.BadParameter("give questions of one kind", param_hint="--wav / --text")
    try:
        limits = [FailIf.of(limit) for limit in fail_if or ()]
        lasts_s = DEFAULT_DURATION_S if duration is None and turns is None else duration
        plan = Plan(sessions, ramp, lasts_s, turns, barge_ins, slow_readers, tuple(text or ()), seed)
    except BadPlan as error:
        raise typer.BadParameter(str(error)) from error
    for path in (out, picture):
        if path and not path.parent.is_dir():
            fail(f"{path}: there is no folder {path.parent} to write it to")
    config = converse_config(None, avatar=avatar, voice="", system_prompt="", input_encoding=None, output_encoding=None)
    config.audio_only = audio_only
    report, was_stopped = run(_load(server, plan, config, wav or (), as_json=as_json))
    _tell(report, out, picture, as_json=as_json)
    if was_stopped:
        raise typer.Exit(EXIT_INTERRUPTED)
    if problem := _problem(report, limits):
        fail(problem)


async def _load(
    server: str, plan: Plan, config: ConverseConfig, wav: Sequence[Path], *, as_json: bool
) -> tuple[LoadReport, bool]:
    """The report, and whether Ctrl-C ended the load."""
    questions = [Question.of(path) for path in wav]
    stopping, pressed = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()
        stopping.set()

    with on_ctrl_c(stop), _progress(plan, is_shown=not as_json) as show:
        report = await run_load(
            plan,
            lambda: client_of(server),
            config=config,
            questions=questions,
            stopping=stopping,
            on_start=show,
        )
    return report, pressed.is_set()


@contextmanager
def _progress(plan: Plan, *, is_shown: bool) -> Iterator[Callable[[Book], None]]:
    """One line that goes with the load, on a terminal; yields what takes its book."""
    books: list[Book] = []

    def line() -> Text:
        if not books:
            return Text("connecting")
        counts, book = books[0].counts, books[0]
        words = f"{book.active} of {plan.sessions} sessions, {counts['turns_begun']} turns begun, "
        return Text(f"{words}{counts['turns_completed']} completed, {book.errors.total()} errors")

    with Live(get_renderable=line, console=errors, transient=True, auto_refresh=is_shown and errors.is_terminal):
        yield books.append


def _tell(report: LoadReport, out: Path | None, picture: Path | None, *, as_json: bool) -> None:
    """Print the report, and write what is to be written."""
    told = json.dumps(report.to_json(), indent=2)
    if as_json:
        print(told)
    else:
        output.print(table(report))
    try:
        if out:
            out.write_text(told + "\n", encoding="utf-8")
        if picture:
            draw(report, picture)
    except OSError as error:
        fail(f"{error.filename}: cannot be written ({error.strerror})", error)


def _problem(report: LoadReport, limits: Sequence[FailIf]) -> str:
    """What the load did not do that it should; empty if it did all."""
    figures = report.figures()
    if not figures["turns_begun"]:
        found = ", ".join(f"{count} {name}" for name, count in report.book.errors.most_common())
        return f"no answer came: {found or 'nothing was asked in the time given'}"
    crossed = "; ".join(filter(None, (limit.crossed(figures) for limit in limits)))
    if crossed and report.driver.is_too_slow:
        return f"{crossed} (and the driver itself was too slow to tell)"
    return crossed
