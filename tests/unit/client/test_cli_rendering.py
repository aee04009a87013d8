"""`avatar-client speak`, `animate` and the lists: films, tables, JSON, one line for what goes wrong."""

import json
import re
from pathlib import Path

import av
import numpy as np
import pytest

from avatar import v1
from avatar.v1 import (
    AnimateResponse,
    Code,
    SpeakResponse,
    TurnOutcome,
)
from tests.unit.client.audio_files import write_audio
from tests.unit.client.command import invoke, invoke_against
from tests.unit.client.scripted_service import (
    Stream,
    completed,
    echo_segments,
    failure,
    media,
    no_script,
    speak_text,
)


def test_lists_are_tables_for_people() -> None:
    run = invoke_against(no_script, "avatars")
    assert run.status == 0
    assert re.search(r"ada +Ada +ready +512 x 512 +25 +nano +demonstration", run.out)
    run = invoke_against(no_script, "voices")
    assert re.search(r"amy +Amy +en, de", run.out)
    run = invoke_against(no_script, "info")
    assert re.search(r"takes audio as +LINEAR16, MULAW", run.out)
    assert re.search(r"think +gpt-4o-mini +sandbox", run.out)


def test_lists_are_objects_for_scripts() -> None:
    run = invoke_against(no_script, "avatars", "--json")
    assert [json.loads(line)["name"] for line in run.out.splitlines()] == ["avatars/ada", "avatars/bob"]
    assert json.loads(run.out.splitlines()[0])["frame_rate"] == 25
    assert json.loads(invoke_against(no_script, "voices", "--json").out)["language_codes"] == ["en", "de"]
    assert json.loads(invoke_against(no_script, "info", "--json").out)["limits"]["max_text_characters"] == 4_000


def pictures_and_sound(path: Path) -> tuple[int, float]:
    """Frames, and seconds of sound, in a film."""
    with av.open(str(path)) as container:
        sound = container.streams.audio[0]
        return container.streams.video[0].frames, float((sound.duration or 0) * (sound.time_base or 0))


def test_a_text_is_spoken_into_a_film(tmp_path: Path) -> None:
    path = tmp_path / "hello.mp4"
    run = invoke_against(speak_text, "speak", "--text", "Hello.", "--out", str(path))
    assert (run.status, run.err) == (0, "")
    assert "0.20 s of voice and 5 frames in" in run.out
    assert f"Recorded 0.20 s to {path}" in run.out
    frames, sound_s = pictures_and_sound(path)
    assert frames == 5
    assert sound_s == pytest.approx(0.2, abs=0.001)


def test_a_text_comes_from_a_file_and_the_result_as_json(tmp_path: Path) -> None:
    asked: list[v1.SpeakRequest] = []

    async def script(stream: Stream) -> None:
        asked.append(await stream.start_speech())
        turn = completed(1, "Hello.", TurnOutcome.TURN_OUTCOME_COMPLETED)
        await stream.send(*media(1, 5, response=SpeakResponse), SpeakResponse(turn_completed=turn))

    letter, path = tmp_path / "letter.txt", tmp_path / "letter.mp4"
    letter.write_text("Dear Ada,\nhow far is the moon?")
    options = ("--file", str(letter), "--avatar", "ada", "--voice", "amy", "--output-encoding", "linear16", "--json")
    run = invoke_against(script, "speak", *options, "--out", str(path))
    assert (run.status, run.err) == (0, "")
    result = json.loads(run.out)
    assert (result["status"], result["frame_count"], result["out"]) == ("OK", 5, str(path))
    assert result["metrics"]["sent_frame_count"] == 8
    (request,) = asked
    assert (request.text, request.avatar, request.voice.voice) == (letter.read_text(), "avatars/ada", "voices/amy")
    assert request.pacing.unpaced


def test_a_voice_is_animated_into_a_film(tmp_path: Path) -> None:
    voice = write_audio(tmp_path / "voice.flac", np.full(32_000, 3_000, np.int16), 16_000)
    path = tmp_path / "talking.mp4"
    run = invoke_against(echo_segments, "animate", "--audio", str(voice), "--out", str(path))
    assert (run.status, run.err) == (0, "")
    assert "2.00 s of voice and 50 frames in" in run.out
    frames, sound_s = pictures_and_sound(path)
    assert frames == 50
    assert sound_s == pytest.approx(2.0, abs=0.001)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("speak", "--json"), "either --text TEXT or --file FILE"),
        (("speak", "--text", "Hello."), "give --out FILE.mp4 to record it, or --play to hear it"),
        (("animate", "--json"), "give the voice as --wav FILE"),
        (("talk", "--text", "Hello.", "--headphones"), "goes with --mic alone"),
    ],
)
def test_what_is_missing_is_a_usage_error(arguments: tuple[str, ...], problem: str) -> None:
    run = invoke(*arguments)
    assert run.status == 2
    assert problem in run.words


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("speak", "--text", " ", "--out", "a.mp4"), "--text: there is nothing to say; give 1 to 4,000 characters"),
        (("speak", "--file", "none.txt", "--out", "a.mp4"), "none.txt: cannot be read (No such file or directory)"),
        (("speak", "--text", "Hello.", "--out", "a.avi"), "a.avi: only MP4 files can be written"),
        (("animate", "--wav", "none.wav", "--out", "a.mp4"), "none.wav: no such file; give a WAV, FLAC, MP3 or Ogg"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: tuple[str, ...], problem: str) -> None:
    run = invoke(*arguments)
    assert (run.status, run.out) == (1, "")
    assert run.err.startswith(f"avatar-client: {problem}")
    assert run.err.count("\n") == 1


def test_a_segment_that_fails_is_a_failed_command(tmp_path: Path) -> None:
    async def script(stream: Stream) -> None:
        await stream.start_animation()
        await stream.until_half_close()
        status = failure(Code.CODE_UNAVAILABLE, "LIPSYNC_FAILED", "lip-sync cannot be reached")
        await stream.send(AnimateResponse(segment_completed=v1.SegmentCompleted(segment_id=1, status=status)))

    voice = write_audio(tmp_path / "voice.wav", np.zeros(1_600, np.int16))
    run = invoke_against(script, "animate", "--wav", str(voice), "--out", str(tmp_path / "a.mp4"))
    assert (run.status, run.err) == (1, "avatar-client: it ended with UNAVAILABLE: lip-sync cannot be reached\n")
