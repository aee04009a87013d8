"""At a terminal: progress is live, keys stop the avatar, Ctrl-C ends the command, and the terminal is given back."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from avatar import v1
from avatar.v1 import ConverseResponse, Interrupted, TurnOutcome, TurnSource, TurnStarted
from tests.unit.client.scripted_service import (
    Script,
    Stream,
    in_turn,
    media,
    reply_finished,
    serving,
    turn_completed,
)
from tests.unit.client.terminal import Terminal, at_terminal

# No sound server and no ALSA: so it is on a machine without sound hardware.
NULL_SOUND = """
import avatar_client.sound, miniaudio

def only_null(start):
    def begin(self, rate_hz, backends=None):
        start(self, rate_hz, [miniaudio.Backend.NULL])
    return begin

for kind in (avatar_client.sound.Microphone, avatar_client.sound.Loudspeaker):
    kind.__init__ = only_null(kind.__init__)
"""
"""Has every microphone and loudspeaker be miniaudio's null device, which keeps time and is silent."""


def hold(script: Script, at: Callable[[Terminal], Awaitable[None]], *arguments: str, sound: Path | None = None) -> int:
    """Run a command at a terminal against a service that follows `script`; returns its exit status."""

    async def scenario() -> int:
        environment = None
        if sound:
            (sound / "sitecustomize.py").write_text(NULL_SOUND)
            environment = {"PYTHONPATH": f"{sound}:{Path.cwd()}"}
        async with serving(script) as address:
            command = (arguments[0], "--server", address, *arguments[1:])
            async with at_terminal(*command, environment=environment) as terminal:
                await at(terminal)
                status = await terminal.status()
                assert terminal.echoes, "the terminal is as it was"
                return status

    return asyncio.run(scenario())


def started(turn_id: int = 1) -> ConverseResponse:
    return ConverseResponse(turn_started=TurnStarted(turn_id=turn_id, source=TurnSource.TURN_SOURCE_TEXT))


async def until_interrupted(stream: Stream) -> None:
    """Speak until told to stop; two frames are left out."""
    await stream.start()
    await stream.until("text")
    await stream.send(started(), *media(1, 15, missing=frozenset({3, 4})))
    await stream.until("interrupt")
    await stream.send(
        ConverseResponse(interrupted=Interrupted(turn_id=1)),
        turn_completed(1, "It is", TurnOutcome.TURN_OUTCOME_INTERRUPTED),
    )
    await stream.until_half_close()


def test_a_key_stops_the_avatar_and_the_wait_is_shown_live() -> None:
    async def person(terminal: Terminal) -> None:
        await terminal.until("2 frames held or shed")
        assert not terminal.echoes
        terminal.type("xi")

    shown: list[str] = []

    async def watched(terminal: Terminal) -> None:
        await person(terminal)
        await terminal.until("interrupted")
        shown.append(terminal.shown)

    assert hold(until_interrupted, watched, "talk", "--text", "How far?") == 0
    assert "i stops the avatar, Ctrl-C ends" in shown[0]
    assert "first voice after " in shown[0]
    assert "xi" not in shown[0], "keys are not shown"


def test_ctrl_c_ends_the_command_and_gives_the_terminal_back() -> None:
    async def person(terminal: Terminal) -> None:
        await terminal.until("first frame after")
        terminal.type("\x03")
        await terminal.until("avatar-client: stopped")

    assert hold(until_interrupted, person, "talk", "--text", "How far?") == 130


def test_a_broken_connection_is_told_in_one_line_and_the_answer_goes_on() -> None:
    async def before(stream: Stream) -> None:
        await stream.start("first")
        await stream.until("text")
        await stream.send(started(), *media(1, 5))
        await stream.until("playback_report")
        await stream.cut()

    told = asyncio.Event()

    async def after(stream: Stream) -> None:
        await told.wait()
        await stream.start("second", last_turn_id=1)
        rest = TurnStarted(turn_id=2, source=TurnSource.TURN_SOURCE_RESUME, resumes_turn_id=1)
        await stream.send(ConverseResponse(turn_started=rest), *media(2, 5), reply_finished(2, 5))
        await stream.send(turn_completed(2, "quite near.", TurnOutcome.TURN_OUTCOME_COMPLETED))
        await stream.until_half_close()

    async def person(terminal: Terminal) -> None:
        await terminal.until("connection lost, trying again")
        told.set()
        await terminal.until("resumed after ")
        await terminal.until("quite near.")
        assert "How far?" in terminal.shown
        assert "goaway" not in terminal.shown.lower(), "gRPC itself writes nothing"

    assert hold(in_turn(before, after), person, "talk", "--text", "How far?") == 0


def test_at_a_microphone_space_begins_and_ends_speaking_and_q_leaves(tmp_path: Path) -> None:
    seen: list[str | None] = []

    async def script(stream: Stream) -> None:
        await stream.start()
        assert stream.received[0].config.turn_taking.mode == v1.TurnTakingMode.TURN_TAKING_MODE_MANUAL
        await stream.until("utterance_ended")
        await stream.send(
            ConverseResponse(turn_started=TurnStarted(turn_id=1, utterance_ids=[1])),
            ConverseResponse(transcript=v1.Transcript(utterance_id=1, text="How far?", final=True)),
            *media(1, 15),
        )
        await stream.until("interrupt")
        await stream.send(
            ConverseResponse(interrupted=Interrupted(turn_id=1)),
            turn_completed(1, "It is", TurnOutcome.TURN_OUTCOME_INTERRUPTED),
        )
        await stream.until_half_close()
        seen.extend(request.WhichOneof("payload") for request in stream.received)

    async def person(terminal: Terminal) -> None:
        await terminal.until("Space or Enter: speak")
        terminal.type(" ")
        await terminal.until("speak ...")
        await asyncio.sleep(0.15)  # the microphone gives a piece every 40 ms
        terminal.type(" ")
        await terminal.until("listening ended")
        await terminal.until("How far?")
        await asyncio.sleep(0.1)
        terminal.type("i")
        await terminal.until("interrupted")
        terminal.type("q")

    assert hold(script, person, "talk", "--mic", "--play", sound=tmp_path) == 0
    marks = [kind for kind in seen if kind not in ("audio", "playback_report")]
    assert marks == ["config", "utterance_started", "utterance_ended", "interrupt"]
    assert "audio" in seen[seen.index("utterance_started") : seen.index("utterance_ended")]
    assert "audio" not in seen[seen.index("utterance_ended") :]
