"""`avatar-service demo`: one spoken conversation, from the bundled question to a video of the answer."""

import shutil
import time
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from avatar_client.events import ConverseEvent, Notice, SpeechStarted, Transcript, TurnStarted
from avatar_client.talk import TalkResult, talk
from avatar_client.turns import TurnResult
from avatar_service.cli.running import run
from avatar_service.errors import AvatarError
from avatar_service.local.system import running_system
from avatar_service.log import set_up
from avatar_service.settings import Settings

QUESTION = Path(__file__).parents[1] / "local/assets/demo_question.wav"
console = Console(highlight=False)


def demo(
    out: Annotated[Path, typer.Option(metavar="FILE.mp4", help="Video to write.")] = Path("out/demo.mp4"),
) -> None:
    """Hold one spoken conversation on this machine alone and write a video of the answer.

    Sandbox, Triton and the service run for it and stop after it; no key, no GPU, no network.

    Example: avatar-service demo --out out/demo.mp4
    """
    run(_demo(out))


async def _demo(out: Path) -> None:
    started_s = time.monotonic()
    settings = Settings.load(env_file=None).listening_on("127.0.0.1:0").with_metrics_on("")
    set_up("WARNING", settings.server.log_format)
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(QUESTION, out.parent / "question.wav")
    async with running_system(settings, console.print) as system:
        console.print(f"asking {QUESTION.name} in {time.monotonic() - started_s:.0f} s from the start")
        result = await talk(system.service, wav=QUESTION, out=out, on_event=_tell)
    _report(result, out)


def _tell(event: ConverseEvent) -> None:
    match event:
        case SpeechStarted():
            console.print("  the user speaks")
        case Transcript():
            console.print(f"  understood: {event.text}")
        case TurnStarted():
            console.print("  the avatar answers")
        case Notice():
            console.print(f"  notice: {event.message}")


def _report(result: TalkResult, out: Path) -> None:
    """Print what was said and how long it took. Raises AvatarError if there was no answer."""
    for turn in result.turns:
        console.print(f"\n[bold]question[/]  {turn.transcript}\n[bold]answer[/]    {turn.reply}\n")
        console.print(_latencies(turn))
    if not result.answered or result.path is None:
        raise AvatarError("the avatar gave no answer; `avatar-service up` shows the log of every part")
    console.print(
        f"\n{out}: {result.recorded_s:.1f} s of video; the question: {out.parent / 'question.wav'}", soft_wrap=True
    )


def _latencies(turn: TurnResult) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("latency", "ms", "from", "to"):
        table.add_column(heading, no_wrap=True)
    for name, start, end in (
        ("endpointing_time_ms", "end of speech", "decision on it"),
        ("transcription_time_ms", "request", "transcript"),
        ("time_to_first_token_ms", "chat request", "first text"),
        ("llm_response_time_ms", "chat request", "last text"),
        ("time_to_first_speech_byte_ms", "speech request", "first sound"),
        ("tts_generation_time_ms", "speech requests", "last sounds"),
        ("first_render_time_ms", "first render request", "its frames"),
        ("time_to_first_audio_ms", "end of speech", "first audio sent"),
        ("time_to_first_frame_ms", "end of speech", "first frame sent"),
        ("total_latency_ms", "end of speech", "seen and heard"),
    ):
        if name in turn.metrics:
            table.add_row(name.removesuffix("_ms"), str(turn.metrics[name]), start, end)
    table.add_row("frames sent", str(turn.metrics["sent_frame_count"]))
    table.add_row("frames held", str(turn.metrics["held_frame_count"]))
    return table
