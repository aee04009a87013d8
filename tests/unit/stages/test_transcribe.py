"""Utterances to text."""

import asyncio

import pytest

from avatar_service import clock
from avatar_service.engines.base import TranscriptionOptions
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout
from avatar_service.events import Transcript
from avatar_service.media.types import Utterance
from avatar_service.stages.transcribe import transcribe
from avatar_service.timings import Timings
from tests.fakes.transcriber import FakeTranscriber, Heard
from tests.unit.stages.collecting import Events

OPTIONS = TranscriptionOptions("model", language="en")
UTTERANCES = [Utterance(number, b"\0\0", 16_000, float(number), number + 0.5) for number in (1, 2, 3)]


async def understood(*script: Heard) -> tuple[str, list[str], Events, list[EngineError], Timings]:
    """What a turn of three utterances gives."""
    texts: list[str] = []
    failures: list[EngineError] = []
    out, timings = Events(), Timings()

    async def failed(error: EngineError) -> None:
        failures.append(error)

    said = await transcribe(UTTERANCES, FakeTranscriber(*script), OPTIONS, texts, failed, timings, out)
    return said, texts, out, failures, timings


async def test_each_utterance_has_its_transcript_and_the_turn_has_them_all() -> None:
    said, texts, out, failures, timings = await understood(Heard(" How far ", 0.5), Heard("is"), Heard("it? "))
    assert said == "How far is it?"
    assert texts == ["How far", "is", "it?"]
    assert out.sent == [
        Transcript(1, "How far", 1.0, 1.5),
        Transcript(2, "is", 2.0, 2.5),
        Transcript(3, "it?", 3.0, 3.5),
    ]
    assert failures == []
    assert timings.between_s("transcription_started", "transcribed") == pytest.approx(0.1)


class Begun:
    """A transcription that was begun 0.3 s ago and takes 0.5 s, or fails."""

    def __init__(self, error: EngineError | None = None) -> None:
        self.began_s = clock.now() - 0.3
        self._error = error

    async def text(self) -> str:
        await asyncio.sleep(0.2)
        if self._error:
            raise self._error
        return " known "


async def after_early(early: Begun, fails_with: EngineError | None = None) -> tuple[str, FakeTranscriber, Timings]:
    transcriber, timings = FakeTranscriber(Heard("One", 0.1), Heard("two", 0.1), Heard("again", 0.1)), Timings()

    async def failed(error: EngineError) -> None:
        assert error is fails_with

    said = await transcribe(UTTERANCES, transcriber, OPTIONS, [], failed, timings, Events(), early)
    return said, transcriber, timings


async def test_what_was_begun_early_is_the_last_utterances_transcript_timed_from_its_own_start() -> None:
    said, transcriber, timings = await after_early(Begun())
    assert said == "One two known"
    assert len(transcriber.utterances) == 2
    assert timings.between_s("transcription_started", "transcribed") == pytest.approx(0.3 + 2 * 0.1 + 0.2)


@pytest.mark.parametrize(
    "error", [EngineTimeout("transcribe", "fake", "slow"), EngineRejected("transcribe", "fake", "no such key")]
)
async def test_if_that_has_failed_its_attempts_are_used_and_the_engine_is_not_asked_again(error: EngineError) -> None:
    said, transcriber, _ = await after_early(Begun(error), fails_with=error)
    assert said == "One two"
    assert len(transcriber.utterances) == 2


async def test_an_utterance_in_which_nothing_was_said_adds_nothing() -> None:
    said, texts, *_ = await understood(Heard("One"), Heard("  "), Heard("two"))
    assert said == "One two"
    assert texts == ["One", "", "two"]


async def test_an_engine_that_fails_has_understood_nothing_and_says_so() -> None:
    error = EngineTimeout("transcribe", "fake", "slow")
    said, _, out, failures, _ = await understood(Heard("One"), Heard(error=error), Heard("two"))
    assert said == "One two"
    assert failures == [error]
    assert Transcript(2, "", 2.0, 2.5) in out.sent
