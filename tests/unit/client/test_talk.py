"""A whole conversation: the question is sent in real time, the answer is followed, timed and recorded."""

import asyncio
from pathlib import Path

import av
import grpc
import numpy as np
import pytest

from avatar.v1 import (
    Code,
    ConverseResponse,
    Interrupted,
    ReplyText,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    TurnCompleted,
    TurnOutcome,
    TurnSource,
    TurnStarted,
)
from avatar_client import FileError, ServiceError, talk
from avatar_client.errors import TimedOut
from avatar_client.talk import TalkResult
from tests.unit.client.audio_files import write_audio
from tests.unit.client.scripted_service import (
    Script,
    Stream,
    failure,
    media,
    reply_finished,
    serving,
    turn_completed,
)

COMPLETED = TurnOutcome.TURN_OUTCOME_COMPLETED


@pytest.fixture
def question(tmp_path: Path) -> Path:
    """300 ms of sound."""
    return write_audio(tmp_path / "question.wav", np.full(4_800, 3_000, np.int16))


async def answer_speech(stream: Stream) -> None:
    """Understand 300 ms of speech and answer with 8 frames, of which 3 and 4 are held."""
    await stream.start()
    await stream.until("audio", count=5)
    await stream.send(ConverseResponse(speech_started=SpeechStarted(utterance_id=1)))
    await stream.until("audio", count=7)
    stopped = SpeechStopped(utterance_id=1)
    stopped.offset.FromMilliseconds(300)
    await stream.send(
        ConverseResponse(speech_stopped=stopped),
        ConverseResponse(turn_started=TurnStarted(turn_id=1, utterance_ids=[1])),
        ConverseResponse(transcript=Transcript(utterance_id=1, text="How far is the moon?", final=True)),
        ConverseResponse(reply_text=ReplyText(turn_id=1, text="It is ")),
        ConverseResponse(reply_text=ReplyText(turn_id=1, text="near.")),
        *media(turn_id=1, frames=8, missing=frozenset({3, 4})),
        reply_finished(1, 8),
        turn_completed(1, "It is near.", COMPLETED),
    )
    await stream.until_half_close()


def hold(
    script: Script, wav: Path | None = None, text: str = "", out: Path | None = None, timeout_s: float = 10.0
) -> TalkResult:
    """Talk to a server that follows `script`."""

    async def scenario() -> TalkResult:
        async with serving(script) as address:
            return await talk(address, wav=wav, text=text, out=out, timeout_s=timeout_s)

    return asyncio.run(scenario())


def test_a_spoken_question_is_followed_timed_and_recorded(tmp_path: Path, question: Path) -> None:
    path = tmp_path / "answer.mp4"
    result = hold(answer_speech, wav=question, out=path)
    (turn,) = result.turns
    assert (turn.transcript, turn.reply, turn.heard) == ("How far is the moon?", "It is near.", "It is near.")
    assert (turn.status, turn.outcome, turn.failed) == ("OK", "COMPLETED", False)
    assert turn.metrics["transcription_time_ms"] == 500
    assert "llm_response_time_ms" not in turn.metrics, "what was not measured is absent"
    assert turn.frame_count == 6
    assert turn.audio_s == pytest.approx(0.32)
    # The scripted server waits for 480 ms of audio, of which speech is the first 300 ms; a busy machine adds to it.
    assert turn.first_audio_ms is not None
    assert turn.first_frame_ms is not None
    assert 175 < turn.first_audio_ms <= turn.first_frame_ms < 2_000
    assert (result.answered, result.path) == (True, path)
    assert result.recorded_s == pytest.approx(0.32)
    with av.open(str(path)) as container:
        levels = [round(frame.to_ndarray(format="gray")[:40].mean() / 10) * 10 for frame in container.decode(video=0)]
    assert levels == [20, 30, 40, 40, 40, 70, 80, 90]


def test_speech_goes_out_in_real_time_then_silence_then_half_close(question: Path) -> None:
    sent: list[bytes] = []
    times: list[float] = []

    async def script(stream: Stream) -> None:
        await stream.start()
        try:
            while True:
                request = await stream.until("audio")
                times.append(asyncio.get_running_loop().time())
                sent.append(request.audio.data)
        except AssertionError:
            stream.half_closed = True

    result = hold(script, wav=question)
    assert (result.turns, result.answered) == ([], False)
    samples = np.frombuffer(b"".join(sent), "<i2")
    assert (samples[:4_800] == 3000).all()
    assert (samples[4_800:] == 0).all()
    # 0.1 s is what this server takes as the end of a turn, 0.5 s the margin.
    assert len(samples) / 16_000 == pytest.approx(0.3 + 0.1 + 0.5)
    assert times[-1] - times[0] > len(samples) / 16_000 - 0.1, "not faster than it would be spoken"


def test_a_typed_question_is_answered_and_then_the_client_half_closes() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        request = await stream.until("text")
        started = TurnStarted(turn_id=1, source=TurnSource.TURN_SOURCE_TEXT, request_id=request.text.request_id)
        await stream.send(ConverseResponse(turn_started=started), *media(1, 2), reply_finished(1, 2))
        await stream.send(turn_completed(1, "Near.", COMPLETED))
        await stream.until_half_close()

    (turn,) = hold(script, text="How far?").turns
    assert (turn.transcript, turn.reply) == ("How far?", "Near.")
    assert turn.first_audio_ms is not None
    assert 0 < turn.first_audio_ms < 2_000


def test_what_was_interrupted_before_it_was_played_is_not_recorded(tmp_path: Path) -> None:
    interrupted = Interrupted(turn_id=1)
    interrupted.played.FromMilliseconds(300)

    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until("text")
        started = TurnStarted(turn_id=1, source=TurnSource.TURN_SOURCE_TEXT)
        await stream.send(ConverseResponse(turn_started=started), *media(1, 20))
        await stream.until("playback_report")
        await stream.send(
            ConverseResponse(interrupted=interrupted),
            turn_completed(1, "", TurnOutcome.TURN_OUTCOME_INTERRUPTED),
            ConverseResponse(turn_started=TurnStarted(turn_id=2, source=TurnSource.TURN_SOURCE_SAY)),
            *media(2, 5),
            reply_finished(2, 5),
            turn_completed(2, "Hello.", COMPLETED),
        )
        await stream.until_half_close()

    result = hold(script, text="How far?", out=tmp_path / "answer.mp4")
    assert [turn.outcome for turn in result.turns] == ["INTERRUPTED", "COMPLETED"]
    assert result.recorded_s == pytest.approx((8 + 5) * 0.04), (
        "what began before 0.3 s of the first turn, all of the second"
    )


def test_a_failed_turn_is_a_result_and_not_an_answer() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until("text")
        status = failure(Code.CODE_UNAVAILABLE, "SPEECH_FAILED", "text to speech cannot be reached")
        completed = TurnCompleted(turn_id=1, outcome=TurnOutcome.TURN_OUTCOME_FAILED, status=status)
        await stream.send(
            ConverseResponse(turn_started=TurnStarted(turn_id=1, source=TurnSource.TURN_SOURCE_TEXT)),
            ConverseResponse(reply_text=ReplyText(turn_id=1, text="It is near.")),
            ConverseResponse(turn_completed=completed),
        )
        await stream.until_half_close()

    result = hold(script, text="How far?")
    (turn,) = result.turns
    assert (turn.status, turn.message, turn.reply) == (
        "UNAVAILABLE",
        "text to speech cannot be reached",
        "It is near.",
    )
    assert (turn.failed, result.answered) == (True, False)


def test_a_session_that_fails_raises_and_keeps_what_was_recorded(tmp_path: Path) -> None:
    path = tmp_path / "answer.mp4"

    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until("text")
        await stream.send(ConverseResponse(turn_started=TurnStarted(turn_id=1)), *media(1, 10))
        await stream.until("playback_report")
        await stream.fail(grpc.StatusCode.UNAVAILABLE, failure(Code.CODE_UNAVAILABLE, "DRAINING", "going down"))

    with pytest.raises(ServiceError, match="going down"):
        hold(script, text="How far?", out=path)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames >= 4


def test_a_server_that_never_answers_runs_into_the_deadline() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until_half_close()

    with pytest.raises(TimedOut, match="did not end within"):
        hold(script, text="How far?", timeout_s=0.5)


def test_an_unusable_file_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        asyncio.run(talk("127.0.0.1:1", wav=tmp_path / "nothing.wav"))
    with pytest.raises(FileError, match=r"ends in \.mp4"):
        asyncio.run(talk("127.0.0.1:1", text="hello", out=tmp_path / "answer.mov"))


def test_a_rate_that_the_service_does_not_take_is_resampled(tmp_path: Path) -> None:
    rates: list[int] = []

    async def script(stream: Stream) -> None:
        await stream.start()
        rates.append(stream.received[0].config.input_audio.sample_rate_hertz)
        await stream.until_half_close()

    for rate_hz in (8_000, 44_100, 96_000):
        hold(script, wav=write_audio(tmp_path / "short.wav", np.zeros(rate_hz // 20, np.int16), rate_hz))
    assert rates == [8_000, 44_100, 16_000]
