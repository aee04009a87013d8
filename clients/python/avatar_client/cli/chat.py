"""`avatar-client chat`: a conversation by typing, the replies as they come."""

import time

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from avatar_client.cli.conversing import Session, converse
from avatar_client.cli.options import (
    WORDS,
    Avatar,
    Encoding,
    FrameFormat,
    Frames,
    Idle,
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
    print_notice,
    print_resumed,
    run,
    with_pictures,
)
from avatar_client.cli.report import missing_frames, problem, waiting
from avatar_client.client import ADDRESS
from avatar_client.configs import converse_config
from avatar_client.events import (
    ConnectionLost,
    ConverseEvent,
    Interrupted,
    Notice,
    ReplyText,
    Resumed,
    StateChanged,
    Transcript,
)
from avatar_client.turns import TurnResult

EXAMPLE = """[bold]Examples[/bold]

avatar-client chat --play

printf 'Who are you?\\nAnd where?\\n' | avatar-client chat --json"""

YOU, AVATAR = "you     ", "avatar  "


def chat(
    server: Server = ADDRESS,
    avatar: Avatar = "",
    voice: Voice = "",
    out: Out = None,
    play: Play = False,
    idle: Idle = False,
    frames: Frames = FrameFormat.jpeg,
    output_encoding: OutputEncoding = Encoding.linear16,
    as_json: Json = False,
) -> None:
    """Chat with an avatar: type a line, read its reply as it comes.

    Typing on while it speaks interrupts it, as does Ctrl-C. A second Ctrl-C, or Ctrl-D, leaves.

    Exits with 0 only if every line was answered and, with --out, recorded.
    """
    config = converse_config(
        None,
        avatar=avatar,
        voice=voice,
        system_prompt="",
        input_encoding=None,
        output_encoding=WORDS[output_encoding],
    )
    view = None if as_json else ChatView(output)
    result = run(
        converse(
            server,
            with_pictures(config, frames, idle=idle),
            lambda session: _ask(session, view),
            out=out,
            play=play,
            on_event=view.add if view else None,
            on_turn=view.end_turn if view else lambda turn: print_json(turn.to_json()),
        )
    )
    if result.path and not as_json:
        output.print(f"Recorded {result.recorded_s:.2f} s to {result.path}", soft_wrap=True)
    if found := problem(result, out):
        fail(found)


async def _ask(session: Session, view: "ChatView | None") -> None:
    """Send each line that is typed; without a terminal, each after the answer to the one before."""
    count = 0
    if view and session.interactive:
        view.prompt()
    async for line in session.typed:
        text = line.strip()
        if text:
            count += 1
            if view:
                view.asked("" if session.interactive else text)
            session.log.text_sent(text, time.monotonic(), str(count))
            await session.conversation.send_text(text, str(count))
            if not session.interactive:
                await session.log.quiet()
        elif view and session.interactive:
            view.prompt()
    if view and session.interactive:
        view.leave()


class ChatView:
    """Shows a chat line by line: what was asked, the reply as it comes, how long it took."""

    def __init__(self, console: Console) -> None:
        """Show on `console`."""
        self._console = console
        self._prompts = False
        self._thinks = False
        self._replies = False
        self._unanswered = 0

    def prompt(self) -> None:
        """Ask for the next line."""
        self._prompts = True
        self._write(YOU, "bold")

    def leave(self) -> None:
        """Ask for no more lines: Ctrl-D came, which leaves the cursor behind the prompt."""
        self._prompts = False
        self._console.print()

    def asked(self, text: str) -> None:
        """Take note of a question, and show it if it was not typed at this terminal."""
        self._unanswered += 1
        self._clear_thinking()
        self._end_line()
        if text:
            self._write(YOU, "bold")
            self._write(f"{text}\n")

    def add(self, event: ConverseEvent) -> None:
        """Show what an event means to the person."""
        match event:
            case StateChanged(state="THINKING") if self._console.is_terminal and not self._console.is_dumb_terminal:
                self._end_line()
                self._thinks = True
                self._write("thinking ...", "dim")
            case Transcript(final=True):
                self._clear_thinking()
                self.asked(event.text or "(nothing was understood)")
            case ReplyText(text=text):
                if not self._replies:
                    self._clear_thinking()
                    self._write(AVATAR, "bold")
                    self._replies = True
                self._write(text)
            case Interrupted():
                self._end_line()
            case Notice():
                self._clear_thinking()
                self._end_line()
                print_notice(event)
            case ConnectionLost():
                self._clear_thinking()
                self._end_line()
                errors.print("[dim]connection lost, trying again ...[/]")
            case Resumed():
                print_resumed(event)

    def end_turn(self, turn: TurnResult) -> None:
        """Tell how a turn went, and ask for the next line."""
        self._clear_thinking()
        self._end_line()
        facts = [waiting(turn), f"{turn.audio_s:.1f} s of voice"]
        if missing := missing_frames(turn):
            facts.append(missing)
        if turn.outcome != "COMPLETED":
            facts.insert(0, turn.outcome.lower())
        if turn.message and turn.failed:
            facts.insert(1, turn.message)
        self._write(f"{' ' * len(AVATAR)}{', '.join(facts)}\n\n", "dim")
        self._unanswered -= 1
        if self._prompts and self._unanswered <= 0:
            self.prompt()

    def _end_line(self) -> None:
        if self._replies:
            self._write("\n")
            self._replies = False

    def _clear_thinking(self) -> None:
        if self._thinks:
            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))
            self._thinks = False

    def _write(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style), end="", soft_wrap=True)
        self._console.file.flush()
