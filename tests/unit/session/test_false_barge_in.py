"""A barge-in of which no words come: the avatar goes on with what was not heard."""

import pytest

from avatar_service.engines.base import Message
from avatar_service.events import (
    Interrupted,
    Notice,
    Outcome,
    ReplyText,
    Source,
    SpeechStarted,
    TurnCompleted,
    TurnStarted,
)
from avatar_service.session.inputs import Said
from avatar_service.turn.turn import UserInput
from tests.scenario import Recording, Scenario

REPLY = "The moon is near. It goes around the earth once a month."
COUGH_ENDS_S = 0.5 + 0.1
"""The closing silence, and the time that speech to text takes."""


def told(recording: Recording) -> list[tuple[int, int]]:
    """Turn and utterance of each barge-in that was false."""
    notices = [notice for notice in recording.all(Notice) if notice.reason == "FALSE_BARGE_IN"]
    return [(notice.turn_id, notice.utterance_id) for notice in notices]


def coughed(at_s: float = 2.0) -> Scenario:
    """A reply that a cough breaks off in its middle."""
    return Scenario().text(0.0, "How far?").reply(REPLY, duration_s=0.1).speech(rate=20.0).cough(at_s).listen_until(12)


async def test_after_a_cough_the_avatar_goes_on_with_the_next_word() -> None:
    scenario = coughed()
    recording = await scenario.run()
    first, cough, rest = recording.all(TurnCompleted)
    assert [turn.outcome for turn in (first, cough, rest)] == [
        Outcome.INTERRUPTED,
        Outcome.SKIPPED,
        Outcome.COMPLETED,
    ]
    assert told(recording) == [(1, 1)]
    started = recording.only(TurnStarted, 3)
    assert (started.source, started.resumes_turn_id, started.utterance_ids) == (Source.FALSE_BARGE_IN, 1, ())
    assert first.heard_text
    assert rest.generated_text
    assert f"{first.heard_text} {rest.generated_text}" == REPLY
    assert rest.heard_text == rest.generated_text
    assert "".join(event.text for event in recording.all(ReplyText, 3)) == rest.generated_text
    assert len(scenario.chat.requests) == 1


async def test_what_is_heard_of_the_rest_joins_what_was_heard_before() -> None:
    scenario = coughed().text(12.0, "And the sun?")
    await scenario.run()
    assert scenario.chat.requests[-1][1:] == [
        Message("user", "How far?"),
        Message("assistant", REPLY),
        Message("user", "And the sun?"),
    ]


async def test_the_rest_is_spoken_no_sooner_than_the_wait_after_the_interruption() -> None:
    recording = await coughed().run()
    interrupted_s = recording.time(Interrupted)
    assert recording.time(TurnStarted, lambda e: e.turn_id == 3) == pytest.approx(interrupted_s + 2.0, abs=0.001)


async def test_nor_sooner_than_that_nothing_was_said_is_known() -> None:
    recording = await coughed().configured(false_barge_in_wait_s=0.2).run()
    skipped_s = recording.time(TurnCompleted, lambda e: e.turn_id == 2)
    assert recording.time(TurnStarted, lambda e: e.turn_id == 3) == pytest.approx(skipped_s, abs=0.001)


async def test_without_a_wait_the_rest_is_never_spoken() -> None:
    recording = await coughed().configured(false_barge_in_wait_s=0.0).run()
    assert told(recording) == []
    assert len(recording.all(TurnStarted)) == 2


async def test_another_cough_keeps_the_rest() -> None:
    recording = await coughed().cough(2.9).cough(3.9).run()
    assert told(recording) == [(1, 1)]
    first, rest = recording.only(TurnCompleted, 1), recording.all(TurnCompleted)[-1]
    assert f"{first.heard_text} {rest.heard_text}" == REPLY
    assert recording.time(Notice) > recording.times(SpeechStarted)[-1]


async def test_while_the_user_makes_noise_the_avatar_waits() -> None:
    recording = await coughed().cough(3.5, 2.0).run()
    assert recording.time(Notice) == pytest.approx(5.5 + COUGH_ENDS_S, abs=0.1)


@pytest.mark.parametrize("words", ["Wait.", "And the sun?"])
async def test_words_drop_the_rest(words: str) -> None:
    recording = await coughed().user_speech(3.0, 4.0, words).run()
    assert told(recording) == []
    assert [turn.source for turn in recording.all(TurnStarted)] == [Source.TEXT, Source.UTTERANCE, Source.UTTERANCE]


async def test_text_a_say_and_an_interrupt_drop_the_rest() -> None:
    for scenario in (coughed().text(3.5, "Never mind."), coughed().say(3.5, "So."), coughed().interrupt(3.5)):
        assert told(await scenario.run()) == []


async def test_when_the_input_ends_the_rest_does_not_wait() -> None:
    scenario = coughed()
    recording = await scenario.listen_until(0.0).run()
    assert told(recording) == [(1, 1)]
    rest = recording.all(TurnCompleted)[-1]
    assert rest.outcome is Outcome.COMPLETED
    assert f"{recording.only(TurnCompleted, 1).heard_text} {rest.heard_text}" == REPLY


async def test_a_rest_that_is_broken_off_by_a_cough_goes_on_too() -> None:
    recording = await coughed().cough(4.8).run()
    assert told(recording) == [(1, 1), (3, 2)]
    assert recording.only(TurnStarted, 5).resumes_turn_id == 3
    heard = [recording.only(TurnCompleted, turn_id).heard_text for turn_id in (1, 3, 5)]
    assert " ".join(heard) == REPLY


async def test_a_rest_that_words_break_off_is_remembered_as_far_as_it_was_heard() -> None:
    scenario = coughed().user_speech(4.8, 5.6, "And the sun?").reply("Far.")
    recording = await scenario.run()
    heard = [recording.only(TurnCompleted, turn_id).heard_text for turn_id in (1, 3)]
    assert scenario.chat.requests[-1][1:] == [
        Message("user", "How far?"),
        Message("assistant", " ".join(heard)),
        Message("user", "And the sun?"),
    ]


async def test_of_a_reply_that_was_still_being_written_the_rest_ends_with_a_whole_sentence() -> None:
    scenario = (
        Scenario().text(0.0, "How far?").reply("The moon is near. It is round. It goes around us.", duration_s=3.0)
    )
    recording = await scenario.speech(rate=20.0).cough(2.2).listen_until(12).run()
    first, rest = recording.only(TurnCompleted, 1), recording.all(TurnCompleted)[-1]
    assert first.generated_text.startswith("The moon is near. It is round. It")
    assert f"{first.heard_text} {rest.heard_text}" == "The moon is near. It is round."


async def test_after_a_cough_before_the_first_word_the_chat_model_is_asked_again() -> None:
    scenario = Scenario().text(0.0, "How far?").reply("Near.", ttft_s=5.0).reply("Not far.").cough(0.5).listen_until(12)
    recording = await scenario.run()
    assert told(recording) == [(1, 1)]
    assert recording.all(TurnCompleted)[-1].heard_text == "Not far."
    assert scenario.chat.requests[0] == scenario.chat.requests[1]


async def test_a_cough_while_the_avatar_thinks_about_what_was_said_does_not_lose_it() -> None:
    scenario = Scenario().user_speech(0.5, 1.5, "How far?").reply("Near.", ttft_s=3.0).reply("Not far.").cough(2.5)
    recording = await scenario.listen_until(12).run()
    assert recording.only(TurnStarted, 2).utterance_ids == (1, 2)
    assert told(recording) == []
    assert recording.all(TurnCompleted)[-1].heard_text == "Not far."
    assert scenario.chat.requests[1] == scenario.chat.requests[0]


async def test_the_rest_of_what_shall_not_be_remembered_is_not_either() -> None:
    scenario = Scenario().speech(rate=20.0).cough(1.5).listen_until(10).text(10.0, "hello")
    await scenario.input(0.0, Said(UserInput(Source.SAY, text=REPLY, remembered=False))).run()
    assert [message.text for message in scenario.chat.requests[0]] == ["Be brief.", "hello"]
