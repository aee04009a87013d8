"""`avatar-client load`: users against a scripted server, what is told of them, and when the command fails."""

import asyncio
import json
import wave
from pathlib import Path

import grpc
import numpy as np
import pytest

from avatar.v1 import Code, ConverseResponse, ErrorInfo, Status, TurnOutcome, TurnSource, TurnStarted
from avatar_client.load.questions import Question, default_question
from tests.unit.client.command import invoke, invoke_against, start_against
from tests.unit.client.scripted_service import Stream, media, no_script, reply_finished, turn_completed

FRAMES = 10


async def answer(stream: Stream) -> None:
    """Answer texts until the client has half-closed."""
    await stream.start()
    turn_id = 0
    async for request in stream._requests:
        if request.WhichOneof("payload") == "text":
            turn_id += 1
            await say(stream, turn_id, TurnSource.TURN_SOURCE_TEXT)


async def say(stream: Stream, turn_id: int, source: "TurnSource.ValueType") -> None:
    started = TurnStarted(turn_id=turn_id, source=source)
    await stream.send(ConverseResponse(turn_started=started), *media(turn_id, FRAMES), reply_finished(turn_id, FRAMES))
    await stream.send(turn_completed(turn_id, "It is near.", TurnOutcome.TURN_OUTCOME_COMPLETED))


async def refuse(stream: Stream) -> None:
    """Be full."""
    await stream.until("config")
    status = Status(message="full", error_info=ErrorInfo(reason="SESSIONS_EXHAUSTED"))
    status.code = Code.CODE_RESOURCE_EXHAUSTED
    await stream.fail(grpc.StatusCode.RESOURCE_EXHAUSTED, status)


SMALL = ("--sessions", "3", "--turns", "1", "--text", "How far is the moon?")


def test_users_ask_in_writing_and_the_report_is_told_written_and_drawn(tmp_path: Path) -> None:
    out, picture = tmp_path / "load.json", tmp_path / "load.svg"
    run = invoke_against(answer, "load", *SMALL, "--out", str(out), "--picture", str(picture))
    assert run.status == 0, run.err
    assert "first frame after the question" in run.out
    report = json.loads(out.read_text())
    assert report["plan"]["sessions"] == 3
    figures = report["figures"]
    assert (figures["sessions_begun"], figures["sessions_ended"], figures["errors"]) == (3, 3, 0)
    assert (figures["turns_begun"], figures["turns_completed"]) == (3, 3)
    assert (figures["frames"], figures["audio_chunks"]) == (3 * FRAMES, 3 * FRAMES)
    assert figures["first_frame_ms_p50"] < 1_000
    assert picture.read_text().count("<circle") == 2 + 2 * 3


def test_json_is_the_report_and_nothing_else() -> None:
    run = invoke_against(answer, "load", *SMALL, "--json")
    assert (run.status, run.err) == (0, "")
    assert json.loads(run.out)["figures"]["turns_completed"] == 3


def test_with_a_duration_sessions_end_after_their_turns_and_others_begin() -> None:
    options = ("--sessions", "1", "--turns", "1", "--duration", "4", "--text", "Hi", "--json")
    figures = json.loads(invoke_against(answer, "load", *options).out)["figures"]
    assert figures["sessions_begun"] == figures["sessions_ended"] >= 2
    assert figures["turns_begun"] <= figures["sessions_begun"]


def test_a_service_that_refuses_everybody_fails_the_load_by_code_and_reason() -> None:
    run = invoke_against(refuse, "load", *SMALL)
    assert run.status == 1
    assert "no answer came: 3 RESOURCE_EXHAUSTED SESSIONS_EXHAUSTED" in run.words


def test_a_service_that_is_not_there_fails_it_too() -> None:
    run = invoke("load", "--server", "127.0.0.1:1", *SMALL)
    assert run.status == 1
    assert "no answer came: 3 UNAVAILABLE" in run.words


def test_a_limit_that_is_crossed_fails_it_and_is_named() -> None:
    run = invoke_against(answer, "load", *SMALL, "--fail-if", "errors>0", "--fail-if", "turns_completed<4")
    assert run.status == 1
    assert "turns_completed is 3, below 4" in run.words
    assert "errors" not in run.words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--sessions", "0"), "sessions: is 0"),
        (("--barge-ins", "2"), "barge_ins: is 2"),
        (("--fail-if", "errors"), "is no limit"),
        (("--fail-if", "eror>0"), "errors"),
        (("--text", "Hi", "--wav", "question.wav"), "give questions of one kind"),
        (("--wav", "/nowhere/question.wav"), "no such file"),
        (("--out", "/nowhere/load.json"), "there is no folder /nowhere"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_sent(options: tuple[str, ...], words: str) -> None:
    run = invoke_against(no_script, "load", *options)
    assert run.status != 0
    assert words in run.words


def test_ctrl_c_ends_the_load_politely_with_the_report_so_far() -> None:
    answered = asyncio.Event()

    async def one_after_the_other(stream: Stream) -> None:
        await stream.start()
        await stream.until("text")
        await say(stream, 1, TurnSource.TURN_SOURCE_TEXT)
        await asyncio.sleep(0.5)  # played
        answered.set()
        await stream.until_half_close()

    options = ("load", "--sessions", "1", "--duration", "600", "--text", "Hi", "--json")
    run = start_against(one_after_the_other, *options, interrupts=[answered])
    assert run.status == 130, run.err
    figures = json.loads(run.out)["figures"]
    assert (figures["turns_completed"], figures["sessions_ended"], figures["errors"]) == (1, 1, 0)


def recording(path: Path) -> Path:
    """A quarter of a second of noise between two of silence."""
    noise = np.random.default_rng(1).integers(-8_000, 8_000, 4_000).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(8_000) + noise + bytes(8_000))
    return path


def test_users_ask_by_voice_in_real_time_and_latencies_count_from_their_last_sound(tmp_path: Path) -> None:
    path = recording(tmp_path / "question.wav")

    async def hear(stream: Stream) -> None:
        """Answer as soon as somebody has spoken and is silent again."""
        await stream.start()
        heard = False
        async for request in stream._requests:
            if request.WhichOneof("payload") == "audio":
                is_loud = any(request.audio.data)
                if heard and not is_loud:
                    await say(stream, 1, TurnSource.TURN_SOURCE_UTTERANCE)
                heard = is_loud

    run = invoke_against(hear, "load", "--sessions", "1", "--turns", "1", "--wav", str(path), "--json")
    figures = json.loads(run.out)["figures"]
    assert (run.status, figures["turns_completed"]) == (0, 1)
    assert 20 <= figures["first_audio_ms_p50"] < 500  # the piece in which it falls silent lasts 40 ms


def test_a_question_knows_where_there_is_speech_in_it(tmp_path: Path) -> None:
    question = Question.of(recording(tmp_path / "question.wav"))
    assert (question.speech_begins_s, question.speech_ends_s) == pytest.approx((0.25, 0.5), abs=0.011)
    assert default_question().speech_ends_s > default_question().speech_begins_s + 1.0


def test_silence_is_no_question(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "silence.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(32_000))
    run = invoke_against(no_script, "load", "--wav", str(tmp_path / "silence.wav"))
    assert run.status == 1
    assert "is silent" in run.words
