"""Turns are followed through breaks of the stream: none is waited for in vain, and none is given up too early."""

import asyncio

import pytest

from avatar.v1 import ConverseConfig
from avatar_client import Audio, Frame, MediaFormat, Resumed, SessionStarted, SpeechStarted, Transcript
from avatar_client.events import SpokenText, TurnCompleted, TurnStarted
from avatar_client.facts import Limits, Status, TurnMetrics, Usage
from avatar_client.turns import RESUME_PATIENCE_S, TurnLog, Waiting

RESUMED = Resumed(SessionStarted("s-1", MediaFormat(), ConverseConfig(), Limits()), "gone", 1, 0.1)


def completed(turn_id: int) -> TurnCompleted:
    return TurnCompleted(turn_id, "COMPLETED", Status("OK"), TurnMetrics(), Usage(), "It is near.", "near.")


def asked() -> TurnLog:
    """A text was sent, its turn has begun and can be heard and seen."""
    log = TurnLog(24_000)
    log.text_sent("How far?", 1.0, "q1")
    log.add(TurnStarted(1, source="TEXT", request_id="q1"), 1.1)
    log.add(Audio(1, 0, 0.0, b"", b"", 960), 1.5)
    log.add(Frame(1, 0, 0.0, b""), 1.6)
    return log


async def is_quiet(log: TurnLog) -> bool:
    try:
        await asyncio.wait_for(log.quiet(), 0.001)
    except TimeoutError:
        return False
    return True


async def test_the_rest_of_a_turn_that_was_cut_answers_its_question() -> None:
    log = asked()
    for index, word in enumerate(["The ", "moon ", "is "]):
        log.add(SpokenText(1, word, index * 0.05, index * 0.05 + 0.05), 1.6)
    log.add(RESUMED, 2.0)
    assert log.question(1) == "How far?"
    assert not await is_quiet(log)
    log.add(TurnStarted(2, resumes_turn_id=1, source="RESUME"), 2.5)
    result = log.add(completed(2), 4.0)
    assert result is not None
    assert (result.transcript, result.resumes_turn_id) == ("How far?", 1)
    assert (result.reply, result.heard) == ("The moon It is near.", "The moon near."), "0.1 s had been heard"
    assert result.first_audio_ms == pytest.approx(500)
    assert result.to_json()["resumes_turn_id"] == 1
    assert await is_quiet(log)
    await asyncio.sleep(2 * RESUME_PATIENCE_S)
    assert [turn.turn_id for turn in log.results] == [2]


async def test_a_turn_that_had_been_heard_to_its_end_when_it_was_cut_is_whole() -> None:
    log = asked()
    log.add(SpokenText(1, "near.", 0.0, 0.05), 1.6)
    log.add(RESUMED, 2.0)
    result = log.add(completed(1), 2.1)
    assert result is not None
    assert (result.transcript, result.reply, result.heard) == ("How far?", "It is near.", "near.")
    assert await is_quiet(log)


async def test_a_text_whose_turn_began_unseen_is_answered_by_the_turn_that_resumes_it() -> None:
    log = TurnLog(24_000)
    log.text_sent("How far?", 1.0, "q1")
    log.add(RESUMED, 2.0)
    log.add(TurnStarted(2, resumes_turn_id=1, source="RESUME", request_id="q1"), 2.5)
    result = log.add(completed(2), 4.0)
    assert result is not None
    assert result.transcript == "How far?"
    assert await is_quiet(log)


async def test_a_turn_that_was_heard_to_its_end_is_not_waited_for_for_ever() -> None:
    log = asked()
    log.add(RESUMED, 2.0)
    await asyncio.sleep(RESUME_PATIENCE_S - 0.1)
    assert not await is_quiet(log)
    await asyncio.sleep(0.2)
    assert await is_quiet(log)
    assert not log.is_answering


async def test_an_utterance_under_way_is_waited_for_if_it_is_heard_again() -> None:
    log = TurnLog(24_000)
    log.add(SpeechStarted(1), 1.0)
    log.add(SpeechStarted(2), 1.5)
    log.add(RESUMED, 2.0)
    log.add(SpeechStarted(2), 2.5)
    await asyncio.sleep(2 * RESUME_PATIENCE_S)
    assert not await is_quiet(log)
    log.add(Transcript(2, "How far?"), 3.0)
    assert await is_quiet(log)


async def test_how_long_the_user_waits_is_known_while_the_turn_goes_on() -> None:
    log = asked()
    log.add(Frame(1, 3, 0.12, b""), 1.7)
    waiting = log.waiting(1)
    assert (waiting.first_audio_ms, waiting.first_frame_ms) == pytest.approx((500, 600))
    assert waiting.missed_frames == 2
    assert log.waiting(2) == Waiting()
