"""Whatever the user does and whatever the engines do, what the contract promises holds."""

import asyncio
import random

import pytest

from avatar_service.errors import EngineRejected, EngineTimeout, EngineUnavailable
from avatar_service.events import (
    Interrupted,
    Media,
    Outcome,
    ReplyFinished,
    ReplyText,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    TurnCompleted,
    TurnStarted,
)
from tests.scenario import Recording, Scenario

ERRORS = [
    EngineTimeout("think", "fake", ""),
    EngineUnavailable("think", "fake", ""),
    EngineRejected("think", "fake", ""),
]


def conversation(chance: random.Random) -> Scenario:
    """About twenty seconds of speech, text, orders and reports, and engines that are slow or fail now and then."""
    scenario = Scenario().configured(
        barge_in=chance.random() < 0.8, lead_s=chance.choice([0.3, 1.0]), audio_only=chance.random() < 0.2
    )
    scenario.speech(rate=chance.choice([0.9, 3.0, 30.0]), ttfb_s=chance.choice([0.05, 0.5]))
    fails = range(chance.randrange(8)) if chance.random() < 0.3 else range(0)
    scenario.lip_sync(render_s=chance.choice([0.001, 0.02, 0.06]), fails=fails)
    if chance.random() < 0.3:
        scenario.slow_client(0.01)
    at_s = 0.3
    while at_s < 20.0:
        error = chance.choice(ERRORS) if chance.random() < 0.15 else None
        match chance.randrange(6):
            case 0 | 1:
                end_s = at_s + chance.uniform(0.1, 1.5)
                text = chance.choice(["yes", "and the sun?", ""])
                scenario.user_speech(at_s, end_s, text, delay_s=chance.uniform(0.05, 1.5), error=error)
                at_s = end_s
            case 2:
                scenario.text(at_s, "How far is the moon?")
            case 3:
                scenario.say(at_s, "Listen.", interrupts=chance.random() < 0.3)
            case 4:
                scenario.interrupt(at_s)
            case _:
                scenario.report(at_s, chance.randint(1, 8), chance.uniform(0.0, 5.0))
        scenario.reply(
            "The moon is near. It is round.", duration_s=chance.uniform(0.0, 1.0), error=error, error_after=3
        )
        at_s += chance.uniform(0.0, 2.0)
    return scenario


def check_turns(recording: Recording) -> None:
    """Turns are numbered, do not overlap, and end once."""
    current = 0
    for event in recording.events:
        match event:
            case TurnStarted(turn_id):
                assert current == 0
                current = turn_id
            case TurnCompleted(turn_id):
                assert turn_id == current
                current = 0
            case ReplyText(turn_id) | Media(turn_id) | ReplyFinished(turn_id) | Interrupted(turn_id):
                assert turn_id == current
    assert current == 0
    started = [event.turn_id for event in recording.all(TurnStarted)]
    assert started == list(range(1, len(started) + 1))


def check_media(recording: Recording, turn_id: int) -> None:
    """Voice is contiguous, frames rise, each after its voice; nothing follows an interruption."""
    chunks = [chunk.index for _, chunk in recording.chunks(turn_id)]
    frames = [frame.index for _, frame in recording.frames(turn_id)]
    completed = recording.only(TurnCompleted, turn_id)
    assert chunks == list(range(len(chunks)))
    assert frames == sorted(set(frames))
    assert max(frames, default=-1) < max(len(chunks), 1)
    assert len(recording.all(Interrupted, turn_id)) == (completed.outcome is Outcome.INTERRUPTED)
    assert len(recording.all(ReplyFinished, turn_id)) <= 1
    heard = completed.heard_text.split()
    assert heard == completed.generated_text.split()[: len(heard)]
    of_turn = [event for event in recording.events if getattr(event, "turn_id", 0) == turn_id]
    if completed.outcome is Outcome.INTERRUPTED:
        after = of_turn[of_turn.index(recording.only(Interrupted, turn_id)) + 1 :]
        assert not [event for event in after if isinstance(event, Media | ReplyText | ReplyFinished)]


@pytest.mark.parametrize("seed", range(100))
async def test_what_the_contract_promises_holds(seed: int) -> None:
    scenario = conversation(random.Random(seed))
    recording = await scenario.run()
    check_turns(recording)
    for event in recording.all(TurnStarted):
        check_media(recording, event.turn_id)
    stopped = [event.utterance_id for event in recording.all(SpeechStopped)]
    assert stopped == [event.utterance_id for event in recording.all(SpeechStarted)]
    assert sorted(event.utterance_id for event in recording.all(Transcript)) == stopped
    assert scenario.chat.running == scenario.fake_speech.running == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
