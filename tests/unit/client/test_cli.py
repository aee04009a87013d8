"""`avatar-client talk` as a user or a script meets it: output, exit status, Ctrl-C."""

import asyncio
import json
import os
import re
import signal
import sys
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from avatar.v1 import Code, ConverseResponse, TurnCompleted, TurnOutcome, TurnSource, TurnStarted
from tests.unit.client.scripted_service import Script, Stream, failure, media, reply_finished, serving, turn_completed

ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass(frozen=True, slots=True)
class Run:
    """What a command did."""

    status: int
    out: str
    err: str


async def answer_text(stream: Stream) -> None:
    """Answer a text with two turns' worth of media in one turn."""
    await stream.start()
    await stream.until("text")
    started = TurnStarted(turn_id=1, source=TurnSource.TURN_SOURCE_TEXT)
    await stream.send(ConverseResponse(turn_started=started), *media(1, 5), reply_finished(1, 5))
    await stream.send(turn_completed(1, "It is near.", TurnOutcome.TURN_OUTCOME_COMPLETED))
    await stream.until_half_close()


def talk(*arguments: str, script: Script = answer_text, interrupt: asyncio.Event | None = None) -> Run:
    """Run `avatar-client talk` against a scripted server; with `interrupt`, send Ctrl-C once that is set."""

    async def scenario() -> Run:
        async with serving(script) as address:
            return await command(("talk", "--server", address, *arguments), interrupt)

    return asyncio.run(scenario())


async def command(arguments: Sequence[str], interrupt: asyncio.Event | None = None) -> Run:
    """Run `avatar-client` in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "avatar_client.cli",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "100", "NO_COLOR": "1"},
    )
    if interrupt:
        await interrupt.wait()
        process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    return Run(process.returncode or 0, ANSI.sub("", out.decode()), ANSI.sub("", err.decode()))


def test_a_question_is_answered_printed_and_recorded(tmp_path: Path) -> None:
    path = tmp_path / "answer.mp4"
    run = talk("--text", "How far is the moon?", "--out", str(path))
    assert run.status == 0, run.err
    assert "How far is the moon?" in run.out
    assert "It is near." in run.out
    assert re.search(r"\d+ ms to the first voice, \d+ ms to the first frame", run.out)
    assert f"Recorded 0.20 s to {path}" in run.out
    assert path.stat().st_size > 0


def test_json_is_one_object_a_turn_and_nothing_else() -> None:
    run = talk("--text", "How far?", "--json")
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

    run = talk("--text", "How far?", "--json", script=script)
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
    run = talk("--wav", str(path), script=script)
    assert run.status == 1
    assert "the question was not answered" in run.err


def test_a_file_that_is_not_audio_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "diary.wav"
    path.write_text("dear diary")
    run = talk("--wav", str(path))
    assert (run.status, run.out) == (1, "")
    assert run.err.startswith(f"avatar-client: {path}: not a WAV file; convert it with `ffmpeg -i {path} question.wav`")
    assert run.err.count("\n") == 1


def test_a_server_that_is_not_there_is_named_in_one_line() -> None:
    run = asyncio.run(command(("talk", "--server", "127.0.0.1:1", "--text", "hello")))
    assert (run.status, run.out) == (1, "")
    assert "no avatar service answers at 127.0.0.1:1" in run.err
    assert run.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [(), ("--text", "hello", "--wav", "question.wav")])
def test_neither_or_both_questions_are_a_usage_error(arguments: tuple[str, ...]) -> None:
    run = asyncio.run(command(("talk", "--server", "127.0.0.1:1", *arguments)))
    assert run.status == 2
    assert "either --wav FILE or --text TEXT" in " ".join(run.err.replace("│", " ").split())


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

    run = talk("--text", "How far?", "--out", str(path), script=script, interrupt=playing)
    assert (run.status, run.out, run.err) == (130, "", "avatar-client: stopped\n")
    assert path.stat().st_size > 0


def test_help_shows_an_example() -> None:
    run = asyncio.run(command(("talk", "--help")))
    assert run.status == 0
    assert "avatar-client talk --wav question.wav --out answer.mp4" in run.out
    assert "--mic" not in run.out
