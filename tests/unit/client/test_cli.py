"""`avatar-client talk`, and what all commands have in common: output, exit status, Ctrl-C."""

import asyncio
import json
import re
import wave
from pathlib import Path

import pytest

from avatar.v1 import (
    Code,
    ConverseResponse,
    TurnCompleted,
    TurnOutcome,
    TurnSource,
    TurnStarted,
)
from tests.unit.client.command import invoke, invoke_against, start, start_against
from tests.unit.client.scripted_service import (
    Stream,
    failure,
    media,
    reply_finished,
    turn_completed,
)


async def answer_text(stream: Stream) -> None:
    """Answer a text with two turns' worth of media in one turn."""
    await stream.start()
    await stream.until("text")
    started = TurnStarted(turn_id=1, source=TurnSource.TURN_SOURCE_TEXT)
    await stream.send(ConverseResponse(turn_started=started), *media(1, 5), reply_finished(1, 5))
    await stream.send(turn_completed(1, "It is near.", TurnOutcome.TURN_OUTCOME_COMPLETED))
    await stream.until_half_close()


def test_a_question_is_answered_printed_and_recorded(tmp_path: Path) -> None:
    path = tmp_path / "answer.mp4"
    run = invoke_against(answer_text, "talk", "--text", "How far is the moon?", "--out", str(path))
    assert run.status == 0, run.err
    assert "How far is the moon?" in run.out
    assert "It is near." in run.out
    assert re.search(r"\d+ ms to the first voice, \d+ ms to the first frame", run.out)
    assert f"Recorded 0.20 s to {path}" in run.out
    assert path.stat().st_size > 0


def test_json_is_one_object_a_turn_and_nothing_else() -> None:
    run = invoke_against(answer_text, "talk", "--text", "How far?", "--json")
    assert (run.status, run.err) == (0, "")
    (line,) = run.out.splitlines()
    turn = json.loads(line)
    assert (turn["transcript"], turn["reply"], turn["status"]) == ("How far?", "It is near.", "OK")
    assert turn["metrics"]["total_latency_ms"] == 1300
    assert turn["client"]["frame_count"] == 5


def test_a_failed_turn_is_a_failed_command() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until("text")
        status = failure(Code.CODE_UNAVAILABLE, "SPEECH_FAILED", "text to speech cannot be reached")
        completed = TurnCompleted(turn_id=1, outcome=TurnOutcome.TURN_OUTCOME_FAILED, status=status)
        await stream.send(
            ConverseResponse(turn_started=TurnStarted(turn_id=1, source=TurnSource.TURN_SOURCE_TEXT)),
            ConverseResponse(turn_completed=completed),
        )
        await stream.until_half_close()

    run = invoke_against(script, "talk", "--text", "How far?", "--json")
    assert run.status == 1
    assert json.loads(run.out)["status"] == "UNAVAILABLE"
    assert run.err == "avatar-client: turn 1 failed with UNAVAILABLE: text to speech cannot be reached\n"


def test_a_question_that_is_not_understood_is_a_failed_command(tmp_path: Path) -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until_half_close()

    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", "not compressed"))
        file.writeframes(bytes(3_200))
    run = invoke_against(script, "talk", "--wav", str(path))
    assert run.status == 1
    assert "the question was not answered" in run.err


def test_a_file_that_is_not_audio_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "diary.wav"
    path.write_text("dear diary")
    run = invoke("talk", "--wav", str(path))
    assert (run.status, run.out) == (1, "")
    assert run.err == (
        f"avatar-client: {path}: is not an audio file, or is damaged; give a WAV, FLAC, MP3 or Ogg file\n"
    )


def test_a_server_that_is_not_there_is_named_in_one_line() -> None:
    run = invoke("talk", "--server", "127.0.0.1:1", "--text", "hello")
    assert (run.status, run.out) == (1, "")
    assert "no avatar service answers at 127.0.0.1:1" in run.err
    assert run.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [("--json",), ("--text", "hello", "--wav", "q.wav"), ("--text", "hello", "--mic")]
)
def test_neither_or_both_questions_are_a_usage_error(arguments: tuple[str, ...]) -> None:
    run = invoke("talk", *arguments)
    assert run.status == 2
    assert "either --wav FILE or --text TEXT, or ask it with --mic" in run.words


def test_ctrl_c_stops_cleanly_and_keeps_what_was_recorded(tmp_path: Path) -> None:
    path = tmp_path / "answer.mp4"
    playing = asyncio.Event()

    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until("text")
        started = TurnStarted(turn_id=1, source=TurnSource.TURN_SOURCE_TEXT)
        await stream.send(ConverseResponse(turn_started=started), *media(1, 20))
        await stream.until("playback_report")
        playing.set()
        await stream.until_half_close()

    run = start_against(script, "talk", "--text", "How far?", "--out", str(path), interrupts=[playing])
    assert (run.status, run.out, run.err) == (130, "", "avatar-client: stopped\n")
    assert path.stat().st_size > 0


@pytest.mark.parametrize("command", ["talk", "chat", "speak", "animate", "avatars", "voices", "info"])
def test_the_help_of_each_command_shows_an_example(command: str) -> None:
    run = invoke(command, "--help")
    assert run.status == 0
    assert f"avatar-client {command}" in run.out[run.out.index("Example") :]


@pytest.mark.parametrize("text", ["", "  "])
def test_a_question_without_words_is_refused_before_anything_is_sent(text: str) -> None:
    run = invoke("talk", "--server", "127.0.0.1:1", "--text", text)
    assert (run.status, run.err) == (1, "avatar-client: --text: there is nothing to ask; give 1 to 4,000 characters\n")


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.0.0.1:99999", ":50051", "localhost:http"])
def test_an_address_that_is_none_is_a_usage_error(address: str) -> None:
    run = invoke("info", "--server", address)
    assert run.status == 2
    assert f"{address!r} is no HOST:PORT; give for example 127.0.0.1:50051" in run.words


def test_the_commands_start_from_the_shell() -> None:
    run = asyncio.run(start(("--help",)))
    assert run.status == 0
    assert [
        name for name in ("talk", "chat", "speak", "animate", "avatars", "voices", "info") if name not in run.out
    ] == []
