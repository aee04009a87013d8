"""The live view of a conversation: who has the floor, what was understood, the reply as it comes, media received."""

from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from avatar_client.cli.options import print_notice, print_resumed
from avatar_client.events import (
    Audio,
    ConnectionLost,
    ConverseEvent,
    Frame,
    Notice,
    ReplyText,
    Resumed,
    SessionStarted,
    StateChanged,
    Transcript,
    TurnStarted,
)
from avatar_client.turns import TurnLog

STATES = {"IDLE": "waiting", "LISTENING": "listening", "THINKING": "thinking", "SPEAKING": "speaking"}
KEYS = "i stops the avatar, Ctrl-C ends"


class Progress:
    """Shows a conversation on a terminal while it goes on; on anything else, only notices. A context manager.

    With `log` it tells how long the user waits.
    """

    def __init__(self, console: Console, question: str = "", *, has_keys: bool = False) -> None:
        """Show on `console`; `question` is what a text conversation asks; `has_keys`: keys are taken, and named."""
        self.log: TurnLog | None = None
        self._turn_id = 0
        self._has_keys = has_keys
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
            case StateChanged() | ConnectionLost() | Resumed():
                self._change_state(event)
            case Transcript():
                self._question = event.text
            case TurnStarted():
                self._turn_id = event.turn_id
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

    def _change_state(self, event: StateChanged | ConnectionLost | Resumed) -> None:
        match event:
            case StateChanged():
                self._state = STATES.get(event.state, self._state)
            case ConnectionLost():
                self._state = "connection lost, trying again"
            case Resumed():
                self._state = "waiting"
                print_resumed(event)

    def _view(self) -> RenderableType:
        words = Table.grid(padding=(0, 2))
        words.add_column(style="bold")
        words.add_column(overflow="fold")
        words.add_row("You", Text(self._question))
        words.add_row("Avatar", Text(self._reply))
        seconds = self._samples / self._sample_rate_hz
        self._spinner.update(text=Text(f"{self._state}, {self._frames} frames and {seconds:.1f} s of voice received"))
        below = [self._waiting(), KEYS if self._has_keys else ""]
        return Group(words, self._spinner, *[Text(f"  {line}", style="dim") for line in below if line])

    def _waiting(self) -> str:
        """How long the user waited for the turn, and what is missing of it."""
        if self.log is None:
            return ""
        waiting = self.log.waiting(self._turn_id)
        parts = [
            f"first {name} after {ms:.0f} ms"
            for name, ms in (("voice", waiting.first_audio_ms), ("frame", waiting.first_frame_ms))
            if ms is not None
        ]
        if waiting.missed_frames:
            parts.append(f"{waiting.missed_frames} frames held or shed")
        return ", ".join(parts)
