"""What a command tells of a conversation's turns."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from avatar_client.talk import TalkResult
from avatar_client.turns import TurnResult


def print_turn(turn: TurnResult, console: Console) -> None:
    """Print a turn's words and how long the user waited."""
    words = Table.grid(padding=(0, 2))
    words.add_column(style="bold")
    words.add_column(overflow="fold")
    words.add_row("You", Text(turn.transcript or "(nothing was understood)"))
    words.add_row("Avatar", Text(turn.reply or "(no reply)"))
    words.add_row("Ended", Text(ending(turn)))
    words.add_row("Waited", Text(waiting(turn)))
    if missing := missing_frames(turn):
        words.add_row("Frames", Text(missing))
    console.print(words)
    console.print()


def ending(turn: TurnResult) -> str:
    """How a turn ended, in words."""
    name = turn.outcome.lower().replace("_", " ")
    details = [detail for detail in (turn.message, "degraded" if turn.degraded else "") if detail]
    return f"{name} ({'; '.join(details)})" if details else name


def waiting(turn: TurnResult) -> str:
    """How long the user waited, in words."""
    if turn.first_audio_ms is None:
        return "no voice came"
    frame = "no frame came" if turn.first_frame_ms is None else f"{turn.first_frame_ms:.0f} ms to the first frame"
    return f"{turn.first_audio_ms:.0f} ms to the first voice, {frame}"


def missing_frames(turn: TurnResult) -> str:
    """How many frames did not come, in words; empty if all did."""
    counts = {"held": turn.metrics.get("held_frame_count", 0), "shed": turn.metrics.get("shed_frame_count", 0)}
    return ", ".join(f"{count} {name}" for name, count in counts.items()) + " frames" if any(counts.values()) else ""


def problem(result: TalkResult, out: Path | None) -> str:
    """What a conversation did not do that it should; empty if it did all."""
    failed = [turn for turn in result.turns if turn.failed]
    if failed:
        return f"turn {failed[0].turn_id} failed with {failed[0].status}: {failed[0].message or 'no reason given'}"
    if result.cut_off:
        return "the service ended the conversation before it had answered"
    if out and not result.path:
        return f"{out} was not written: the service sent no frames and no voice"
    return ""
