"""Barge-in and other interruptions: exact, complete, and the conversation goes on."""

import asyncio
import random

import pytest

from avatar_service.engines.base import Message
from avatar_service.events import (
    Cause,
    Interrupted,
    Media,
    Notice,
    Outcome,
    ReplyFinished,
    ReplyText,
    Source,
    SpeechStarted,
    SpeechStopped,
    State,
    StateChanged,
    Transcript,
    TurnCompleted,
    TurnStarted,
)
from avatar_service.session.inputs import Interrupt
from tests.scenario import Recording, Scenario

REPLY = "The moon is near. It goes around the earth once a month."


def nothing_runs(scenario: Scenario) -> bool:
    return scenario.chat.running == scenario.fake_speech.running == 0


def check_each_turn_ends_once(recording: Recording) -> None:
    """Every turn has one start and one end; an interrupted one says so once, and nothing of it follows."""
    started = [event.turn_id for event in recording.all(TurnStarted)]
    assert started == list(range(1, len(started) + 1))
    assert [event.turn_id for event in recording.all(TurnCompleted)] == started
    for turn_id in started:
        completed = recording.only(TurnCompleted, turn_id)
        interruptions = recording.all(Interrupted, turn_id)
        assert len(interruptions) == (completed.outcome is Outcome.INTERRUPTED)
        if interruptions:
            after = recording.events[recording.events.index(interruptions[0]) + 1 :]
            late = [event for event in after if isinstance(event, Media | ReplyText | ReplyFinished)]
            assert [event for event in late if event.turn_id == turn_id] == []
            assert len(recording.all(ReplyFinished, turn_id)) <= 1


@pytest.mark.parametrize("seed", range(200))
async def test_an_interruption_at_any_moment_is_exact(seed: int) -> None:
    chance = random.Random(seed)
    scenario = Scenario().text(0.0, "one").reply(REPLY, duration_s=0.5).speech(rate=chance.choice([0.9, 2.0, 10.0]))
    scenario.lip_sync(
        render_s=chance.choice([0.001, 0.02, 0.06]), fails=range(2) if chance.random() < 0.2 else range(0)
    )
    match chance.randrange(3):
        case 0:
            scenario.interrupt(chance.uniform(0.0, 4.5))
        case 1:
            scenario.text(chance.uniform(0.0, 4.5), "two")
        case 2:
            start_s = chance.uniform(0.0, 4.0)
            scenario.user_speech(start_s, start_s + chance.uniform(0.3, 1.0), "two")
    recording = await scenario.run()
    check_each_turn_ends_once(recording)
    assert nothing_runs(scenario)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert recording.all(TurnCompleted)[-1].outcome in (Outcome.COMPLETED, Outcome.INTERRUPTED)


@pytest.mark.parametrize("seed", range(20))
async def test_a_user_who_keeps_interrupting_is_always_answered_in_the_end(seed: int) -> None:
    chance = random.Random(seed)
    scenario = Scenario().reply(REPLY)
    at_s = 0.0
    for number in range(15):
        scenario.text(at_s, f"question {number}")
        at_s += chance.uniform(0.0, 1.5)
    recording = await scenario.run()
    check_each_turn_ends_once(recording)
    assert len(recording.all(TurnStarted)) == 15
    assert recording.all(TurnCompleted)[-1].outcome is Outcome.COMPLETED
    assert nothing_runs(scenario)


async def test_a_voice_stops_the_avatar_as_soon_as_it_counts_as_speech() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).user_speech(1.5, 2.5, "Stop.").reply("I stopped.")
    recording = await scenario.run()
    interrupted = recording.only(Interrupted)
    assert (interrupted.turn_id, interrupted.cause, interrupted.utterance_id) == (1, Cause.BARGE_IN, 1)
    assert recording.time(Interrupted) == pytest.approx(recording.time(SpeechStarted), abs=0.001)
    assert recording.time(SpeechStarted) == pytest.approx(1.5 + 0.25, abs=0.06)
    played_s = recording.time(Interrupted) - recording.time(Media)
    assert interrupted.played_s == pytest.approx(played_s, abs=0.001)
    assert recording.only(TurnCompleted, 1).outcome is Outcome.INTERRUPTED
    assert recording.only(TurnCompleted, 2).outcome is Outcome.COMPLETED
    assert recording.only(TurnStarted, 2).utterance_ids == (1,)
    check_each_turn_ends_once(recording)


async def test_the_client_is_told_when_nothing_of_the_turn_runs_any_more() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).speech(rate=1.1, closing_s=0.3).interrupt(1.0)
    recording = await scenario.run()
    assert recording.time(Interrupted) == pytest.approx(1.3)
    check_each_turn_ends_once(recording)


async def test_a_cough_does_not_stop_the_avatar() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).user_speech(1.0, 1.2, "")
    recording = await scenario.run()
    assert recording.all(Interrupted) == []
    assert recording.all(SpeechStarted) == []
    assert recording.only(TurnCompleted).outcome is Outcome.COMPLETED


async def test_with_barge_in_off_what_is_said_meanwhile_waits_its_turn() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).user_speech(1.0, 2.0, "two").configured(barge_in=False)
    recording = await scenario.run()
    assert recording.all(Interrupted) == []
    assert [event.outcome for event in recording.all(TurnCompleted)] == [Outcome.COMPLETED] * 2
    assert recording.time(TurnStarted, lambda event: event.turn_id == 2) >= recording.time(TurnCompleted)


async def test_the_chat_model_learns_what_was_heard_of_an_interrupted_reply() -> None:
    scenario = Scenario().text(0.0, "How far?").reply(REPLY).speech(rate=50.0)
    scenario.text(1.5, "And the sun?").reply("Further.")
    recording = await scenario.run()
    heard = recording.only(TurnCompleted, 1).heard_text
    assert heard == "The moon is near. It goes"[: len(heard)]
    assert len(heard) >= len("The moon")
    assert scenario.chat.requests[1] == [
        Message("system", "Be brief."),
        Message("user", "How far?"),
        Message("assistant", heard),
        Message("user", "And the sun?"),
    ]


async def test_what_was_heard_of_a_sentence_whose_voice_is_still_coming_counts_too() -> None:
    scenario = Scenario().text(0.0, "one").reply("It goes around the earth once a month, every month.")
    recording = await scenario.speech(rate=1.1).interrupt(2.0).run()
    assert recording.only(Interrupted).played_s > 1.0
    assert recording.only(TurnCompleted).heard_text.startswith("It goes around")


async def test_an_interruption_before_any_sound_leaves_nothing_heard_and_the_questions_are_joined() -> None:
    scenario = Scenario().text(0.0, "How far").reply(REPLY).text(0.05, "is the moon?").reply("Near.")
    recording = await scenario.run()
    assert recording.only(Interrupted).played_s == 0.0
    assert recording.only(TurnCompleted, 1).heard_text == ""
    assert scenario.chat.requests[-1][1:] == [Message("user", "How far is the moon?")]


async def test_words_said_before_a_pause_are_not_lost_when_the_user_goes_on() -> None:
    """The pause is long enough to end the utterance; the user speaks on while it is being transcribed."""
    scenario = Scenario().user_speech(0.5, 1.5, "I would like", delay_s=1.0).user_speech(2.2, 3.2, "a ticket.")
    recording = await scenario.run()
    assert len(recording.all(SpeechStopped)) == 2
    assert [transcript.utterance_id for transcript in recording.all(Transcript)] == [1, 2]
    assert scenario.chat.requests[-1][-1] == Message("user", "I would like a ticket.")


async def test_after_a_barge_in_the_floor_is_the_users() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).user_speech(1.0, 2.0, "two")
    recording = await scenario.run()
    interrupted_at = recording.events.index(recording.only(Interrupted))
    spoken_to_at = recording.events.index(recording.only(SpeechStopped))
    states = [event.state for event in recording.events[:spoken_to_at] if isinstance(event, StateChanged)]
    assert interrupted_at < spoken_to_at
    assert states[-1] is State.LISTENING


async def test_after_an_interruption_the_loop_goes_on_from_the_picture_that_was_seen() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).speech(rate=50.0).text(1.0, "two").reply("Near.")
    recording = await scenario.run()
    seen = int(recording.only(Interrupted).played_s / 0.04)
    first = recording.frames(2)[0][1].loop_index
    assert (first - seen) % 10 in (0, 1)


async def test_an_interrupt_when_nothing_is_spoken_is_ignored_with_a_notice() -> None:
    recording = await Scenario().interrupt(0.5).run()
    assert recording.only(Notice).reason == "REQUEST_IGNORED"
    assert recording.all(Interrupted) == []


async def test_an_interrupt_of_a_turn_that_is_over_leaves_the_next_one_alone() -> None:
    scenario = Scenario().text(0.0, "one").reply("Near.").text(3.0, "two").input(3.5, Interrupt(turn_id=1))
    recording = await scenario.run()
    assert recording.all(Interrupted) == []
    assert [event.outcome for event in recording.all(TurnCompleted)] == [Outcome.COMPLETED] * 2


async def test_an_interrupt_drops_the_text_that_waits() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).say(0.5, "Later.").interrupt(1.0)
    recording = await scenario.run()
    assert recording.only(TurnCompleted).outcome is Outcome.INTERRUPTED
    assert "Later." not in [text for text, _ in scenario.fake_speech.requests]


async def test_a_voice_drops_the_text_that_waits() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).say(0.5, "Later.").user_speech(1.0, 2.0, "two")
    recording = await scenario.run()
    assert [event.source for event in recording.all(TurnStarted)] == [Source.TEXT, Source.UTTERANCE]
    check_each_turn_ends_once(recording)


async def test_a_turn_can_be_interrupted_until_it_has_been_played() -> None:
    scenario = Scenario().text(0.0, "one").reply("The moon is near.").speech(rate=50.0)
    undisturbed = await scenario.run()
    at_s = undisturbed.time(TurnCompleted) - 0.1
    scenario = Scenario().text(0.0, "one").reply("The moon is near.").speech(rate=50.0).interrupt(at_s)
    recording = await scenario.run()
    assert len(recording.all(ReplyFinished)) == 1
    assert recording.only(TurnCompleted).outcome is Outcome.INTERRUPTED


async def test_an_interrupted_turn_counts_the_frames_that_were_held() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).lip_sync(fails=range(100)).interrupt(2.0)
    recording = await scenario.run()
    assert recording.only(TurnCompleted).frames_held > 10


@pytest.mark.parametrize("seed", range(30))
async def test_reports_of_any_kind_never_keep_a_turn_from_ending(seed: int) -> None:
    chance = random.Random(seed)
    scenario = Scenario().text(0.0, "one").reply(REPLY).speech(rate=chance.choice([0.9, 4.0, 50.0]))
    scenario.lip_sync(render_s=chance.choice([0.002, 0.05, 0.12]))
    for _ in range(chance.randrange(1, 40)):
        scenario.report(chance.uniform(0.3, 12.0), 1, chance.uniform(-1.0, 5.0))
    recording = await scenario.run()
    assert recording.only(TurnCompleted).outcome is Outcome.COMPLETED
    check_each_turn_ends_once(recording)


async def test_a_client_that_plays_late_and_says_so_still_gets_its_whole_turn() -> None:
    """Reports hold play-out back while lip-sync is behind: frames go on coming after the last voice was sent."""
    scenario = Scenario().text(0.0, "one").reply(REPLY).speech(rate=50.0).lip_sync(render_s=0.045)
    for step in range(160):
        scenario.report(0.5 + step * 0.1, 1, 0.02 * step)
    recording = await scenario.run()
    assert recording.only(TurnCompleted).outcome is Outcome.COMPLETED


async def test_a_second_interruption_while_the_first_is_under_way_finds_nothing_to_stop() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).speech(rate=1.1, closing_s=0.3).interrupt(1.0).interrupt(1.1)
    recording = await scenario.run()
    assert recording.time(Interrupted) == pytest.approx(1.3)
    assert [notice.reason for notice in recording.all(Notice)] == ["REQUEST_IGNORED"]
    check_each_turn_ends_once(recording)


async def test_a_voice_while_a_turn_is_being_interrupted_is_answered_next() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).speech(rate=1.1, closing_s=0.3).interrupt(1.0)
    recording = await scenario.user_speech(0.9, 1.8, "two").run()
    assert [event.utterance_ids for event in recording.all(TurnStarted)] == [(), (1,)]
    assert [event.cause for event in recording.all(Interrupted)] == [Cause.REQUESTED]
    check_each_turn_ends_once(recording)


async def test_a_report_counts_while_the_session_waits_for_it() -> None:
    """Reports do not queue behind other inputs: the loop itself waits for the last one."""
    scenario = Scenario().text(0.0, "one").reply(REPLY).speech(rate=20.0).reporting(0.2, latency_s=0.05).interrupt(2.0)
    recording = await scenario.run()
    assert recording.time(TurnCompleted) == pytest.approx(recording.time(Interrupted) + 0.05)
    assert not recording.only(TurnCompleted).heard_estimated
