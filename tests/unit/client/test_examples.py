"""The examples do what they say."""

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from avatar import v1
from tests.unit.client.audio_files import write_audio
from tests.unit.client.scripted_service import (
    Stream,
    echo_segments,
    in_turn,
    media,
    reply_finished,
    speak_text,
    turn_completed,
)
from tests.unit.client.server_thread import server

EXAMPLES = Path(__file__).parents[3] / "clients/python/examples"
ADDRESS = "127.0.0.1:50051"


def run(name: str, address: str, folder: Path, *arguments: str) -> str:
    """Run an example against `address`, in `folder`; returns what it prints."""
    (folder / name).write_text((EXAMPLES / name).read_text().replace(ADDRESS, address))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, name, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return container.streams.video[0].frames


async def answer(stream: Stream) -> None:
    """Answer a text."""
    await stream.start()
    await stream.until("text")
    words = [v1.ConverseResponse(reply_text=v1.ReplyText(turn_id=1, text=text)) for text in ("It is ", "Paris.")]
    await stream.send(*words, *media(1, 5), reply_finished(1, 5))
    await stream.send(turn_completed(1, "It is Paris.", v1.TurnOutcome.TURN_OUTCOME_COMPLETED))
    await stream.until_half_close()


def test_the_first_client_prints_the_reply_and_keeps_it_as_a_video(tmp_path: Path) -> None:
    with server(answer) as address:
        assert run("first_client.py", address, tmp_path) == "It is Paris."
    assert frames(tmp_path / "answer.mp4") == 5


def test_the_first_client_is_the_one_of_the_readme() -> None:
    code = (EXAMPLES / "first_client.py").read_text().partition('"""\n\n')[2]
    assert code in (EXAMPLES.parents[2] / "README.md").read_text()


def test_speaking_keeps_a_video(tmp_path: Path) -> None:
    with server(speak_text) as address:
        assert run("speak.py", address, tmp_path).splitlines()[-1] == "moon.mp4: 0.2 s"
    assert frames(tmp_path / "moon.mp4") == 5


def test_animating_keeps_a_video(tmp_path: Path) -> None:
    write_audio(tmp_path / "voice.mp3", np.zeros(16_000, np.int16))
    with server(echo_segments) as address:
        run("animate.py", address, tmp_path, "voice.mp3")
    assert frames(tmp_path / "talking.mp4") == pytest.approx(25, abs=2)


def test_animating_nothing_says_what_to_give(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, EXAMPLES / "animate.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "give the file with the voice: python animate.py voice.mp3\n")


def test_a_tool_of_the_programs_own_is_called(tmp_path: Path) -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until("text")
        arguments = '{"city": "Rome"}'
        calls = v1.ToolCalls(
            turn_id=1, calls=[v1.ToolCall(tool_call_id="c", name="get_weather", arguments_json=arguments)]
        )
        await stream.send(v1.ConverseResponse(tool_calls=calls))
        await stream.send(turn_completed(1, "", v1.TurnOutcome.TURN_OUTCOME_AWAITING_TOOLS))
        result = (await stream.until("tool_results")).tool_results.results[0].output
        await stream.send(v1.ConverseResponse(reply_text=v1.ReplyText(turn_id=2, text=result)))
        await stream.send(turn_completed(2, result, v1.TurnOutcome.TURN_OUTCOME_COMPLETED))
        await stream.until_half_close()

    with server(script) as address:
        assert run("tools.py", address, tmp_path) == '{"city": "Rome", "celsius": 21, "sky": "clear"}'


def test_a_broken_connection_is_survived(tmp_path: Path) -> None:
    async def before(stream: Stream) -> None:
        await stream.start("first")
        await stream.until("text")
        await stream.send(v1.ConverseResponse(spoken_text=v1.SpokenText(turn_id=1, text="Once ")))
        await stream.cut()

    async def after(stream: Stream) -> None:
        await stream.start("second", last_turn_id=1)
        await stream.send(v1.ConverseResponse(spoken_text=v1.SpokenText(turn_id=2, text="upon a time.")))
        await stream.send(turn_completed(2, "upon a time.", v1.TurnOutcome.TURN_OUTCOME_COMPLETED))
        await stream.until_half_close()

    with server(in_turn(before, after)) as address:
        lines = run("resume.py", address, tmp_path).splitlines()
    assert (lines[0], lines[3]) == ("Once ", "upon a time.")
    assert lines[1].startswith("[the connection to ")
    assert lines[2].startswith("[resumed after 0.")


@pytest.mark.parametrize("name", ["first_client.py", "speak.py", "animate.py", "tools.py", "resume.py"])
def test_an_example_is_short(name: str) -> None:
    lines = [line for line in (EXAMPLES / name).read_text().splitlines() if line.strip()]
    assert len(lines) <= 20
