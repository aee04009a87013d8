"""A user who speaks on before any sound of the reply: both utterances are answered together."""

import pytest

from avatar_service.engines.base import Message
from avatar_service.events import (
    Cause,
    Interrupted,
    Media,
    Outcome,
    Source,
    State,
    StateChanged,
    Transcript,
    TurnCompleted,
    TurnStarted,
)
from avatar_service.session.inputs import Interrupt
from tests.scenario import Scenario


def going_on(*, delay_s: float = 0.1, ttft_s: float = 2.0) -> Scenario:
    """The second utterance begins while the first is being transcribed or answered."""
    scenario = Scenario().user_speech(0.5, 1.5, "I would like", delay_s=delay_s).user_speech(2.4, 3.2, "a ticket.")
    return scenario.reply("Sure.", ttft_s=ttft_s).reply("Here it is.")


@pytest.mark.parametrize("delay_s", [0.1, 1.0], ids=["understood", "not understood yet"])
async def test_the_next_turn_answers_both_utterances_and_each_is_understood_once(delay_s: float) -> None:
    scenario = going_on(delay_s=delay_s)
    recording = await scenario.run()
    assert [turn.utterance_ids for turn in recording.all(TurnStarted)] == [(1,), (1, 2)]
    assert [event.outcome for event in recording.all(TurnCompleted)] == [Outcome.INTERRUPTED, Outcome.COMPLETED]
    assert [(event.utterance_id, event.text) for event in recording.all(Transcript)] == [
        (1, "I would like"),
        (2, "a ticket."),
    ]
    assert scenario.chat.requests[-1][1:] == [Message("user", "I would like a ticket.")]
    assert recording.all(Media, 1) == []
    if delay_s == 0.1:
        assert [utterance.utterance_id for utterance in scenario.transcriber.utterances] == [1, 2]


async def test_so_does_one_who_goes_on_twice() -> None:
    scenario = going_on(ttft_s=2.0).user_speech(4.0, 4.8, "To Rome.", delay_s=0.1)
    scenario.chat.script.insert(0, scenario.chat.script[0])
    recording = await scenario.run()
    assert recording.all(TurnStarted)[-1].utterance_ids == (1, 2, 3)
    assert scenario.chat.requests[-1][1:] == [Message("user", "I would like a ticket. To Rome.")]
    assert len(recording.all(Transcript)) == 3


async def test_the_history_holds_one_message_of_the_user() -> None:
    scenario = going_on().text(8.0, "Thanks.")
    await scenario.run()
    assert scenario.chat.requests[-1][1:] == [
        Message("user", "I would like a ticket."),
        Message("assistant", "Here it is."),
        Message("user", "Thanks."),
    ]


async def test_once_the_reply_is_heard_the_next_utterance_is_a_turn_of_its_own() -> None:
    scenario = Scenario().user_speech(0.5, 1.5, "How far?").reply("It is not far, really.").speech(rate=20.0)
    scenario.user_speech(3.0, 4.0, "And the sun?").reply("Far.")
    recording = await scenario.run()
    assert [turn.utterance_ids for turn in recording.all(TurnStarted)] == [(1,), (2,)]
    heard = recording.only(TurnCompleted, 1).heard_text
    assert heard
    assert scenario.chat.requests[-1][1:] == [
        Message("user", "How far?"),
        Message("assistant", heard),
        Message("user", "And the sun?"),
    ]


@pytest.mark.parametrize("how", ["text", "interrupt"])
async def test_what_was_said_and_then_dropped_by_the_client_stays_unanswered_in_the_history(how: str) -> None:
    scenario = Scenario().user_speech(0.5, 1.5, "How far?").reply("Near.", ttft_s=5.0).reply("Fine.")
    if how == "text":
        scenario.text(3.0, "And the sun?")
    else:
        scenario.input(3.0, Interrupt()).text(4.0, "And the sun?")
    recording = await scenario.run()
    causes = [event.cause for event in recording.all(Interrupted)]
    assert causes == [Cause.REPLACED if how == "text" else Cause.REQUESTED]
    assert recording.all(TurnStarted)[-1].utterance_ids == ()
    assert scenario.chat.requests[-1][1:] == [Message("user", "How far? And the sun?")]
    assert len(recording.all(Transcript)) == 1


async def test_text_in_between_does_not_lose_what_is_carried() -> None:
    scenario = going_on().text(3.0, "Quick.")
    recording = await scenario.run()
    assert [turn.source for turn in recording.all(TurnStarted)] == [Source.UTTERANCE, Source.TEXT, Source.UTTERANCE]
    assert recording.all(TurnStarted)[-1].utterance_ids == (1, 2)
    assert len(recording.all(Transcript)) == 2


async def test_the_floor_is_the_users_until_the_last_utterance_ends() -> None:
    recording = await going_on().run()
    states = [event.state for event in recording.all(StateChanged)]
    assert states == [
        State.LISTENING,
        State.THINKING,
        State.LISTENING,
        State.THINKING,
        State.SPEAKING,
        State.IDLE,
    ]
