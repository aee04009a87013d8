"""The live view of a conversation: who has the floor, what was understood, the reply as it comes, media received."""

from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from avatar.v1 import ConversationState, ConverseResponse, Notice, NoticeReason

STATES = {
    ConversationState.CONVERSATION_STATE_IDLE: "waiting",
    ConversationState.CONVERSATION_STATE_LISTENING: "listening",
    ConversationState.CONVERSATION_STATE_THINKING: "thinking",
    ConversationState.CONVERSATION_STATE_SPEAKING: "speaking",
}


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

    def add(self, response: ConverseResponse) -> None:
        """Take in a response."""
        match response.WhichOneof("payload"):
            case "session_started":
                self._sample_rate_hz = response.session_started.config.output_audio.sample_rate_hertz or 24_000
            case "state_changed":
                self._state = STATES.get(response.state_changed.state, self._state)
            case "transcript":
                self._question = response.transcript.text
            case "turn_started":
                self._reply = ""
            case "reply_text":
                self._reply += response.reply_text.text
            case "audio":
                self._samples += response.audio.sample_count
            case "frame" if response.frame.turn_id:
                self._frames += 1
            case "notice":
                self._print(response.notice)
        self._live.update(self._view())

    def _print(self, notice: Notice) -> None:
        name = NoticeReason.Name(notice.reason).removeprefix("NOTICE_REASON_").lower().replace("_", " ")
        self._console.print(Text(f"{name}: {notice.message}" if notice.message else name, style="yellow"))

    def _view(self) -> RenderableType:
        words = Table.grid(padding=(0, 2))
        words.add_column(style="bold")
        words.add_column(overflow="fold")
        words.add_row("You", Text(self._question))
        words.add_row("Avatar", Text(self._reply))
        seconds = self._samples / self._sample_rate_hz
        self._spinner.update(text=Text(f"{self._state}, {self._frames} frames and {seconds:.1f} s of voice received"))
        return Group(words, self._spinner)
