"""The live view of a conversation: who has the floor, what was understood, the reply as it comes, media received."""

from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from avatar_client.cli.options import print_notice
from avatar_client.events import (
    Audio,
    ConverseEvent,
    Frame,
    Notice,
    ReplyText,
    SessionStarted,
    StateChanged,
    Transcript,
    TurnStarted,
)

STATES = {"IDLE": "waiting", "LISTENING": "listening", "THINKING": "thinking", "SPEAKING": "speaking"}


class Progress:
    """Shows a conversation on a terminal while it goes on; on anything else, only notices. A context manager."""

    def __init__(self, console: Console, question: str = "") -> None:
        """Show on `console`; `question` is what a text conversation asks."""
        self._console = console
        self._state = "connecting"
        self._question = question
        self._reply = ""
        self._frames = 0
        self._samples = 0
        self._sample_rate_hz = 24_000
        self._spinner = Spinner("dots")
        self._live = Live(self._view(), console=console, refresh_per_second=10, transient=True)

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Clear the view."""
        self._live.stop()

    def add(self, event: ConverseEvent) -> None:
        """Take in an event."""
        match event:
            case SessionStarted():
                self._sample_rate_hz = event.media.sample_rate_hz
            case StateChanged():
                self._state = STATES.get(event.state, self._state)
            case Transcript():
                self._question = event.text
            case TurnStarted():
                self._reply = ""
            case ReplyText():
                self._reply += event.text
            case Audio():
                self._samples += event.sample_count
            case Frame() if event.turn_id:
                self._frames += 1
            case Notice():
                print_notice(event)
        self._live.update(self._view())

    def _view(self) -> RenderableType:
        words = Table.grid(padding=(0, 2))
        words.add_column(style="bold")
        words.add_column(overflow="fold")
        words.add_row("You", Text(self._question))
        words.add_row("Avatar", Text(self._reply))
        seconds = self._samples / self._sample_rate_hz
        self._spinner.update(text=Text(f"{self._state}, {self._frames} frames and {seconds:.1f} s of voice received"))
        return Group(words, self._spinner)
