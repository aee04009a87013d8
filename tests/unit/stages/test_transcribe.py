"""Utterances to text."""

import pytest

from avatar_service.engines.base import TranscriptionOptions
from avatar_service.errors import EngineError, EngineTimeout
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
    assert timings.between_s("transcription_started", "transcribed") == pytest.approx(0.7)


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
