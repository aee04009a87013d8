"""Five hundred barge-ins at random moments: each is exact, and the history is what was heard."""

import asyncio
import random

import pytest

from avatar_service.engines.base import Message
from avatar_service.events import (
    Cause,
    Interrupted,
    Media,
    Outcome,
    ReplyFinished,
    ReplyText,
    SpeechStarted,
    SpokenText,
    ToolCalls,
    Transcript,
    TurnCompleted,
    TurnStarted,
)
from tests.scenario import Recording, Scenario

REPLY = "The moon is near. It goes around the earth."
QUESTION, INTERJECTION, AFTERWARDS = "How far?", "And the sun?", "Thanks."
OF_A_TURN = Media | ReplyText | ReplyFinished | SpokenText | ToolCalls
MOMENTS, A_TEST = 500, 25


def conversation(chance: random.Random) -> Scenario:
    """A spoken question, and a voice at any moment from the first transcription to after the last sound."""
    scenario = Scenario().user_speech(0.1, 0.5, QUESTION, delay_s=chance.choice([0.05, 0.6]))
    scenario.reply(REPLY, ttft_s=chance.choice([0.01, 0.5]), duration_s=chance.choice([0.0, 0.5]))
    scenario.reply("Far.", duration_s=0.0)
    scenario.speech(rate=chance.choice([0.9, 3.0, 20.0]), closing_s=chance.choice([0.0, 0.1]))
    scenario.lip_sync(render_s=chance.choice([0.001, 0.05])).configured(
        audio_only=chance.random() < 0.7, lead_s=chance.choice([0.3, 1.0]), early=chance.random() < 0.5
    )
    match chance.randrange(4):
        case 0:
            scenario.reporting(0.2, latency_s=chance.choice([0.0, 0.05]))
        case 1:
            scenario.reporting(0.2, last_report=False)
    at_s = chance.uniform(1.05, 5.0)
    scenario.user_speech(at_s, at_s + 0.4, INTERJECTION)
    return scenario.text(at_s + 5.5, AFTERWARDS)


def check_exact(recording: Recording, turn_id: int) -> None:
    """One `interrupted` if it was, one `turn_completed`, in this order, and nothing of the turn behind them."""
    completed = recording.only(TurnCompleted, turn_id)
    interrupted = recording.all(Interrupted, turn_id)
    assert len(interrupted) == (completed.outcome is Outcome.INTERRUPTED)
    end = recording.events.index(interrupted[0] if interrupted else completed)
    late = [event for event in recording.events[end:] if isinstance(event, OF_A_TURN) and event.turn_id == turn_id]
    assert late == []
    if interrupted:
        assert interrupted[0].cause is Cause.BARGE_IN
        assert interrupted[0].utterance_id == 2
        assert recording.events.index(completed) > end
        assert recording.time(Interrupted) - recording.times(SpeechStarted)[1] <= 0.11


def check_history(scenario: Scenario, recording: Recording) -> None:
    """The last request of all holds what was said and, of each reply, the words that were heard."""
    spoken: list[Message] = []
    for turn in recording.all(TurnStarted)[:-1]:
        completed = recording.only(TurnCompleted, turn.turn_id)
        said = {1: QUESTION, 2: INTERJECTION}
        if turn.utterance_ids and not (completed.outcome is Outcome.INTERRUPTED and not recording.all(Media, 1)):
            words = " ".join(said[utterance_id] for utterance_id in turn.utterance_ids)
            if spoken and spoken[-1].role == "user":
                words = f"{spoken.pop().text} {words}"
            spoken.append(Message("user", words))
        spoken += [Message("assistant", completed.heard_text)] if completed.heard_text else []
    assert scenario.chat.requests[-1] == [Message("system", "Be brief."), *spoken, Message("user", AFTERWARDS)]


@pytest.mark.parametrize("first", range(0, MOMENTS, A_TEST))
async def test_a_barge_in_at_any_moment_is_exact(first: int) -> None:
    for seed in range(first, first + A_TEST):
        scenario = conversation(random.Random(seed))
        recording = await scenario.run()
        for turn in recording.all(TurnStarted):
            check_exact(recording, turn.turn_id)
        check_history(scenario, recording)
        assert [event.utterance_id for event in recording.all(Transcript)] == [1, 2]
        assert scenario.chat.running == scenario.fake_speech.running == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_moments_cover_every_phase_of_a_turn() -> None:
    """Or the test above would prove less than it seems to."""
    phases = set()
    for seed in range(60):
        recording = await conversation(random.Random(seed)).run()
        interrupted = recording.all(Interrupted, 1)
        before = recording.events[: recording.events.index(interrupted[0])] if interrupted else []
        kinds = {type(event) for event in before}
        phases.add(tuple(kind in kinds for kind in (TurnStarted, Transcript, ReplyText, Media, ReplyFinished)))
    assert phases == {
        (False,) * 5,
        (True, False, False, False, False),
        (True, True, False, False, False),
        (True, True, True, False, False),
        (True, True, True, True, False),
        (True,) * 5,
    }
