"""`avatar-client chat` and `talk --mic`: lines typed, Ctrl-C, sound that is not there."""

import asyncio
import io
import json
import re
from pathlib import Path

import av
from rich.console import Console

from avatar import v1
from avatar.v1 import (
    ConverseResponse,
    ReplyText,
    StateChanged,
    TurnOutcome,
    TurnSource,
    TurnStarted,
)
from avatar_client.cli.chat import ChatView
from avatar_client.events import ConnectionLost
from avatar_client.events import ReplyText as ReplyTextEvent
from avatar_client.events import StateChanged as StateChangedEvent
from avatar_client.facts import TurnOutcome as TurnOutcomeWord
from avatar_client.turns import TurnResult
from tests.unit.client.command import start_against
from tests.unit.client.scripted_service import (
    Stream,
    media,
    reply_finished,
    speak_text,
    turn_completed,
)


async def answer_texts(stream: Stream) -> None:
    """Answer each text with its own words, and stop when told to."""
    await stream.start()
    turn_id = 0
    async for request in stream._requests:
        stream.received.append(request)
        if request.WhichOneof("payload") == "text":
            turn_id += 1
            started = TurnStarted(
                turn_id=turn_id, source=TurnSource.TURN_SOURCE_TEXT, request_id=request.text.request_id
            )
            thinking = StateChanged(state=v1.ConversationState.CONVERSATION_STATE_THINKING, turn_id=turn_id)
            reply = f"You said {request.text.text}"
            await stream.send(
                ConverseResponse(turn_started=started),
                ConverseResponse(state_changed=thinking),
                *[
                    ConverseResponse(reply_text=ReplyText(turn_id=turn_id, text=text))
                    for text in (reply[:4], reply[4:])
                ],
                *media(turn_id, 2),
                reply_finished(turn_id, 2),
                turn_completed(turn_id, reply, TurnOutcome.TURN_OUTCOME_COMPLETED),
            )


def test_a_chat_answers_each_line_and_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "chat.mp4"
    run = start_against(answer_texts, "chat", "--out", str(path), typed="hello\n\nand bye")
    assert (run.status, run.err) == (0, "")
    lines = [line.strip() for line in run.out.splitlines() if line.strip()]
    assert lines[0::3] == ["you     hello", "you     and bye", f"Recorded 0.16 s to {path}"]
    assert lines[1::3] == ["avatar  You said hello", "avatar  You said and bye"]
    assert re.match(r"\d+ ms to the first voice, \d+ ms to the first frame, 0.1 s of voice", lines[2])
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 4


def test_a_chat_for_scripts_is_one_object_a_turn() -> None:
    run = start_against(answer_texts, "chat", "--json", typed="hello\nbye\n")
    assert (run.status, run.err) == (0, "")
    turns = [json.loads(line) for line in run.out.splitlines()]
    assert [turn["transcript"] for turn in turns] == ["hello", "bye"]
    assert [turn["reply"] for turn in turns] == ["You said hello", "You said bye"]


def test_in_a_chat_ctrl_c_stops_the_avatar_and_a_second_one_leaves() -> None:
    playing, stopped = asyncio.Event(), asyncio.Event()

    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until("text")
        started = TurnStarted(turn_id=1, source=TurnSource.TURN_SOURCE_TEXT, request_id="1")
        await stream.send(ConverseResponse(turn_started=started), *media(1, 20))
        playing.set()
        await stream.until("interrupt")
        await stream.send(
            ConverseResponse(interrupted=v1.Interrupted(turn_id=1)),
            turn_completed(1, "", TurnOutcome.TURN_OUTCOME_INTERRUPTED),
        )
        stopped.set()
        await stream.until_half_close()

    run = start_against(script, "chat", typed="hello\n", interrupts=[playing, stopped])
    assert run.status == 0
    assert "interrupted; Ctrl-C again to leave" in run.err
    assert "interrupted, " in run.out


def test_a_chat_whose_server_goes_away_says_so_in_one_line() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until("text")

    run = start_against(script, "chat", typed="hello\n")
    assert run.status == 1
    assert run.err == "avatar-client: the service ended the conversation before it had answered\n"


def test_a_microphone_that_is_not_there_is_one_line_with_the_way_out() -> None:
    # No sound server and no ALSA: so it is on a machine without sound hardware.
    nowhere = {"ALSA_CONFIG_PATH": "/dev/null", "PULSE_SERVER": "unix:/nowhere", "XDG_RUNTIME_DIR": "/nowhere"}
    run = start_against(answer_texts, "talk", "--mic", environment=nowhere)
    assert run.status == 1
    assert run.err.startswith("avatar-client: no microphone can be opened (")
    assert run.err.endswith("or ask with --text or --wav\n")
    assert run.err.count("\n") == 1
    run = start_against(speak_text, "speak", "--text", "Hello.", "--play", environment=nowhere)
    assert run.status == 1
    assert run.err.startswith("avatar-client: no loudspeaker can be opened (")
    assert run.err.count("\n") == 1


def test_a_library_that_is_not_installed_is_one_line_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "miniaudio.py").write_text("raise ImportError('not installed')")
    run = start_against(answer_texts, "talk", "--mic", environment={"PYTHONPATH": str(tmp_path)})
    assert run.status == 1
    assert run.err == (
        "avatar-client: this needs the library miniaudio: install it with `pip install 'avatar-service[mic]'`\n"
    )


def test_a_line_typed_while_the_avatar_speaks_is_not_asked_for_again() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None, _environ={})
    view = ChatView(console)
    view.prompt()
    view.asked("")
    view.add(ReplyTextEvent(turn_id=1, text="The sea is"))
    view.asked("")
    view.end_turn(turn(1, "INTERRUPTED"))
    view.add(StateChangedEvent("THINKING", 2))
    view.add(ReplyTextEvent(turn_id=2, text="It is near."))
    view.end_turn(turn(2, "COMPLETED"))
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    lines = [line.split("\r\x1b[2K")[-1].strip() for line in shown.split("\n") if line.strip()]
    waited = "5 ms to the first voice, no frame came, 1.0 s of voice"
    assert lines == [
        "you     avatar  The sea is",  # the person's own line ends with their Enter
        f"interrupted, {waited}",
        "avatar  It is near.",
        waited,
        "you",
    ]


def test_who_has_left_is_not_asked_again() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None, _environ={})
    view = ChatView(console)
    view.prompt()
    view.asked("")
    view.leave()
    view.end_turn(turn(1, "COMPLETED"))
    assert console.file.getvalue().count("you") == 1  # type: ignore[attr-defined]  # a StringIO


def test_a_reply_that_breaks_off_stays_and_the_rest_of_it_follows() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None, _environ={})
    view = ChatView(console)
    view.asked("How far?")
    view.add(ReplyTextEvent(turn_id=1, text="The moon is"))
    for event in (ConnectionLost("gone"), StateChangedEvent("THINKING", 2), ReplyTextEvent(turn_id=2, text="near.")):
        view.add(event)
    view.add(StateChangedEvent("THINKING", 3))
    view.add(ReplyTextEvent(turn_id=3, text="So near."))
    view.end_turn(turn(3, "COMPLETED"))
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    lines = [line.split("\r\x1b[2K")[-1].strip() for line in shown.split("\n") if line.strip()]
    assert lines[1:4] == ["avatar  The moon is", "avatar  near.", "avatar  So near."]


def turn(turn_id: int, outcome: TurnOutcomeWord) -> TurnResult:
    return TurnResult(turn_id, "", "", "", "OK", "", outcome, False, {}, 5.0, None, 1.0, 0)
