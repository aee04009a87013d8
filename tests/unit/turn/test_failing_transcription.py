"""Speech to text that fails: the user is told, the turn is skipped, the session listens on."""

import pytest

from avatar_service.engines.base import Message
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable, Fault
from avatar_service.events import Media, Notice, Outcome, Source, Transcript, TurnCompleted, TurnStarted
from tests.measuring import Growth
from tests.scenario import Scenario

GONE = EngineUnavailable("transcribe", "fake", "the vendor's own words")
REFUSED_KEY = EngineRejected(
    "transcribe", "openai", "status 401", Fault.AUTHENTICATION, advice="OpenAI does not take the key in OPENAI_API_KEY."
)


def unheard(error: EngineError = GONE, *, early: bool = False) -> Scenario:
    """The user says something that is not understood."""
    return Scenario().speech(rate=20.0).configured(early=early).user_speech(0.5, 1.5, "", error=error)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("error", [GONE, EngineTimeout("transcribe", "fake", "slow"), REFUSED_KEY])
async def test_the_turn_is_skipped_with_an_empty_transcript_and_the_next_one_works(
    error: EngineError, early: bool
) -> None:
    scenario = unheard(error, early=early).user_speech(4.0, 5.0, "How far?").reply("Near.")
    recording = await scenario.run()
    first, second = recording.all(TurnCompleted)
    assert (first.outcome, first.failure, first.degraded_by) == (Outcome.SKIPPED, None, ("TRANSCRIPTION_FAILED",))
    assert (second.outcome, second.degraded_by, second.heard_text) == (Outcome.COMPLETED, (), "Near.")
    assert [(told.utterance_id, told.text, told.final) for told in recording.all(Transcript)] == [
        (1, "", True),
        (2, "How far?", True),
    ]
    (notice,) = recording.all(Notice)
    assert (notice.reason, notice.stage, notice.turn_id) == ("TRANSCRIPTION_FAILED", "transcribe", 1)
    assert notice.failure
    assert (notice.failure.engine, notice.failure.fault) == (error.engine, error.fault.value)
    assert "vendor's own words" not in notice.failure.message
    assert [request[1:] for request in scenario.chat.requests] == [[Message("user", "How far?")]]
    assert len(scenario.transcriber.utterances) == 2


async def test_a_key_that_is_not_taken_is_named_by_its_setting() -> None:
    (notice,) = (await unheard(REFUSED_KEY).run()).all(Notice)
    assert notice.failure
    assert notice.failure.message == "OpenAI does not take the key in OPENAI_API_KEY."


async def test_a_session_that_is_half_closed_meanwhile_ends_with_the_skipped_turn() -> None:
    recording = await unheard(early=True).run()
    assert recording.only(TurnCompleted).outcome is Outcome.SKIPPED
    assert recording.all(Media) == []


async def test_after_a_barge_in_that_is_not_understood_the_reply_goes_on() -> None:
    """What was said is lost; what was to be heard is not."""
    scenario = Scenario().speech(rate=20.0).text(0.0, "How far?").reply("The moon is near. It goes around the earth.")
    scenario.user_speech(1.5, 2.5, "", error=GONE).listen_until(10.0)
    recording = await scenario.run()
    first, skipped, rest = recording.all(TurnCompleted)
    assert [turn.outcome for turn in (first, skipped, rest)] == [
        Outcome.INTERRUPTED,
        Outcome.SKIPPED,
        Outcome.COMPLETED,
    ]
    assert recording.only(TurnStarted, 3).source is Source.FALSE_BARGE_IN
    assert f"{first.heard_text} {rest.heard_text}" == "The moon is near. It goes around the earth."
    assert [notice.reason for notice in recording.all(Notice)] == ["TRANSCRIPTION_FAILED", "FALSE_BARGE_IN"]


async def test_failures_in_a_row_are_counted_until_somebody_is_understood() -> None:
    await Scenario().user_speech(0.5, 1.5, "Hello.").run()
    zero = Growth()
    await unheard().run()
    await unheard(early=True).run()
    await Scenario().text(0.0, "How far?").reply("Near.").run()
    assert zero("avatar_consecutive_failures", stage="transcribe") == 2
    assert zero("avatar_consecutive_failures", stage="think") == 0
    await Scenario().user_speech(0.5, 1.5, "Hello.").run()
    assert zero("avatar_consecutive_failures", stage="transcribe") == 0
