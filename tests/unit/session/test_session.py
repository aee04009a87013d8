"""A whole session: several turns, their order, and what is remembered."""

import asyncio

import pytest

from avatar_service.engines.base import Message
from avatar_service.events import (
    Media,
    Notice,
    Outcome,
    ReplyText,
    Source,
    State,
    StateChanged,
    Transcript,
    TurnCompleted,
    TurnStarted,
)
from avatar_service.session.inputs import Said
from avatar_service.turn.turn import UserInput
from tests.scenario import Scenario


async def test_two_utterances_are_two_turns_and_the_second_knows_the_first() -> None:
    scenario = (
        Scenario()
        .user_speech(0.5, 1.5, "How far is the moon?")
        .reply("Near.")
        .user_speech(5.0, 6.0, "And the sun?")
        .reply("Far.")
    )
    recording = await scenario.run()
    assert [event.turn_id for event in recording.all(TurnStarted)] == [1, 2]
    assert [event.utterance_ids for event in recording.all(TurnStarted)] == [(1,), (2,)]
    assert [event.text for event in recording.all(Transcript)] == ["How far is the moon?", "And the sun?"]
    assert [event.heard_text for event in recording.all(TurnCompleted)] == ["Near.", "Far."]
    assert scenario.chat.requests == [
        [Message("system", "Be brief."), Message("user", "How far is the moon?")],
        [
            Message("system", "Be brief."),
            Message("user", "How far is the moon?"),
            Message("assistant", "Near."),
            Message("user", "And the sun?"),
        ],
    ]


async def test_a_session_in_which_nothing_happens_ends_with_its_input() -> None:
    recording = await Scenario().listen_until(60.0).run()
    assert [event for event in recording.events if not isinstance(event, StateChanged)][:-1] == []
    assert recording.all(TurnStarted) == []


async def test_says_wait_and_text_does_not() -> None:
    scenario = Scenario().say(0.0, "One.").say(0.0, "Two.").say(0.1, "Three.")
    recording = await scenario.run()
    assert [event.source for event in recording.all(TurnStarted)] == [Source.SAY] * 3
    assert [event.heard_text for event in recording.all(TurnCompleted)] == ["One.", "Two.", "Three."]
    for before, after in zip(recording.times(TurnCompleted), recording.times(TurnStarted)[1:], strict=False):
        assert after >= before
    assert scenario.chat.requests == []


async def test_what_the_avatar_said_is_remembered_unless_it_shall_not_be() -> None:
    scenario = Scenario().say(0.0, "Welcome.")
    scenario.input(0.0, Said(UserInput(Source.SAY, text="Secret.", remembered=False)))
    await scenario.text(5.0, "hello").run()
    assert scenario.chat.requests == [
        [Message("system", "Be brief."), Message("assistant", "Welcome."), Message("user", "hello")]
    ]


async def test_a_first_message_is_the_first_turn() -> None:
    scenario = Scenario().configured(first_message="Welcome.").text(3.0, "hello")
    recording = await scenario.run()
    assert recording.all(TurnStarted)[0].source is Source.FIRST_MESSAGE
    assert recording.all(ReplyText)[0].text == "Welcome."
    assert Message("assistant", "Welcome.") in scenario.chat.requests[0]


async def test_more_than_may_wait_is_refused_with_a_notice() -> None:
    scenario = Scenario()
    for number in range(12):
        scenario.say(0.0, f"{number}.")
    recording = await scenario.run()
    refused = [notice for notice in recording.all(Notice) if notice.reason == "SAY_QUEUE_FULL"]
    assert len(recording.all(TurnCompleted)) == 1 + scenario.limits.queued_turns
    assert len(refused) == 12 - 1 - scenario.limits.queued_turns


async def test_the_floor_goes_round() -> None:
    recording = await Scenario().user_speech(0.5, 1.5, "one").user_speech(5.0, 6.0, "two").reply("Yes.").run()
    states = [event.state for event in recording.all(StateChanged)]
    assert states == [State.LISTENING, State.THINKING, State.SPEAKING, State.IDLE] * 2


async def test_every_utterance_has_exactly_one_transcript() -> None:
    scenario = Scenario()
    for number in range(6):
        scenario.user_speech(0.5 + number * 1.3, 1.1 + number * 1.3, f"part {number}", delay_s=0.4)
    recording = await scenario.run()
    assert sorted(event.utterance_id for event in recording.all(Transcript)) == [1, 2, 3, 4, 5, 6]
    assert recording.all(TurnCompleted)[-1].outcome is Outcome.COMPLETED
    whole = " ".join(message.text for message in scenario.chat.requests[-1] if message.role == "user")
    assert [word for word in whole.split() if word.isdigit()] == ["0", "1", "2", "3", "4", "5"]


async def test_speech_replaced_by_text_before_it_was_understood_still_has_its_transcript() -> None:
    scenario = Scenario().user_speech(0.5, 1.5, "How far?", delay_s=2.0).text(2.5, "Never mind.")
    recording = await scenario.run()
    assert [event.utterance_id for event in recording.all(Transcript)] == [1]


async def test_cancelling_a_session_at_any_moment_ends_everything_of_it() -> None:
    for step in range(60):
        scenario = Scenario().user_speech(0.2, 0.8, "one").reply("The moon is near. It is round.")
        running = asyncio.create_task(scenario.run())
        await asyncio.sleep(step * 0.07)
        running.cancel()
        await asyncio.wait({running})
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert scenario.chat.running == scenario.fake_speech.running == 0


async def test_a_bug_ends_the_session_and_is_not_hidden() -> None:
    scenario = Scenario().text(0.0, "hello")

    async def broken(*_: object) -> str:
        raise ZeroDivisionError

    scenario.fake_lip_sync.render = broken  # type: ignore[assignment, method-assign]  # a bug, as a test can make one
    with pytest.raises(BaseExceptionGroup) as failed:
        await scenario.run()
    assert failed.group_contains(ZeroDivisionError)
    assert scenario.chat.running == scenario.fake_speech.running == 0


async def test_the_session_goes_on_after_a_skipped_turn() -> None:
    recording = await Scenario().user_speech(0.5, 1.5, "").user_speech(3.0, 4.0, "Yes?").run()
    assert [event.outcome for event in recording.all(TurnCompleted)] == [Outcome.SKIPPED, Outcome.COMPLETED]
    assert recording.all(Media, 1) == []
