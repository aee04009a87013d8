"""Whatever the user does and whatever the engines do, what the contract promises holds."""

import asyncio
import random

import pytest

from avatar_service.errors import EngineRejected, EngineTimeout, EngineUnavailable
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
    SpokenText,
    State,
    StateChanged,
    ToolCalls,
    ToolCallsCancelled,
    Transcript,
    TurnCompleted,
    TurnStarted,
)
from avatar_service.media.types import ToolCall
from avatar_service.session.inputs import Interrupt
from tests.scenario import Recording, Scenario

ERRORS = [
    EngineTimeout("think", "fake", ""),
    EngineUnavailable("think", "fake", ""),
    EngineRejected("think", "fake", ""),
]


def surroundings(chance: random.Random) -> Scenario:
    """Settings, a client and engines as they may be."""
    scenario = Scenario().configured(
        barge_in=chance.random() < 0.8,
        lead_s=chance.choice([0.3, 1.0]),
        audio_only=chance.random() < 0.2,
        idle_frames=chance.random() < 0.2,
        false_barge_in_wait_s=chance.choice([0.0, 0.3, 2.0]),
        tool_timeout_s=2.0,
        early=chance.random() < 0.5,
        interim=chance.random() < 0.3,
        preemptive=chance.random() < 0.3,
        longest_silence_s=chance.choice([0.0, 1.0]),
    )
    if chance.random() < 0.3:
        scenario.reporting(0.2, latency_s=chance.choice([0.0, 0.1]), last_report=chance.random() < 0.7)
    scenario.speech(rate=chance.choice([0.9, 3.0, 30.0]), ttfb_s=chance.choice([0.05, 0.5]))
    fails = range(chance.randrange(8)) if chance.random() < 0.3 else range(0)
    scenario.lip_sync(render_s=chance.choice([0.001, 0.02, 0.06]), fails=fails)
    if chance.random() < 0.3:
        scenario.slow_client(0.01)
    return scenario


def conversation(chance: random.Random) -> Scenario:
    """About twenty seconds of speech, text, orders, results, changes and reports of turns that are none."""
    scenario = surroundings(chance)
    at_s = 0.3
    while at_s < 20.0:
        error = chance.choice(ERRORS) if chance.random() < 0.15 else None
        match chance.randrange(9):
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
                scenario.input(at_s, Interrupt(chance.choice([0, 0, 1, 2, 3])))
            case 5:
                scenario.tool_results(at_s, **{f"c{chance.randint(1, 12)}": "21"})
            case 6:
                scenario.cough(at_s)
                at_s += 0.4
            case 7:
                scenario.reconfigured(at_s, barge_in=chance.random() < 0.8, system_prompt=f"Be {at_s:g}.")
            case _:
                scenario.report(at_s, chance.choice([0, 99]), chance.uniform(0.0, 5.0), stopped=chance.random() < 0.2)
        calls = (ToolCall(f"c{len(scenario.chat.script)}", "weather", "{}"),) if chance.random() < 0.2 else ()
        scenario.reply(
            "The moon is near. It is round.",
            duration_s=chance.uniform(0.0, 1.0),
            error=error,
            error_after=3,
            tool_calls=calls,
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
            case Media(0):
                pass
            case (
                ReplyText(turn_id)
                | SpokenText(turn_id)
                | ToolCalls(turn_id)
                | Media(turn_id)
                | ReplyFinished(turn_id)
                | Interrupted(turn_id)
            ):
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
    generated = iter(completed.generated_text.split())
    assert all(word in generated for word in heard), "words are heard in their order"
    if "REPLY_CUT" not in completed.degraded_by:  # else a fragment before the apology is left out
        assert heard == completed.generated_text.split()[: len(heard)]
    of_turn = [event for event in recording.events if getattr(event, "turn_id", 0) == turn_id]
    if completed.outcome is Outcome.INTERRUPTED:
        after = of_turn[of_turn.index(recording.only(Interrupted, turn_id)) + 1 :]
        assert not [event for event in after if isinstance(event, Media | ReplyText | ReplyFinished | SpokenText)]


def check_tools(recording: Recording) -> None:
    """Whoever is told of calls is told what becomes of them: they are answered, or cancelled once."""
    for asked in recording.all(ToolCalls):
        cancelled = recording.all(ToolCallsCancelled, asked.turn_id)
        answered = [
            turn for turn in recording.all(TurnStarted, asked.turn_id + 1) if turn.source is Source.TOOL_RESULTS
        ]
        assert len(cancelled) <= 1
        assert cancelled or answered or recording.only(TurnCompleted, asked.turn_id).outcome is Outcome.INTERRUPTED


def check_rests(recording: Recording) -> None:
    """A rest is spoken after a notice, and only of a turn that a barge-in broke off."""
    by_voice = {event.turn_id for event in recording.all(Interrupted) if event.cause is Cause.BARGE_IN}
    by_voice |= {event.turn_id for event in recording.all(ToolCallsCancelled)}
    rests = [event for event in recording.all(TurnStarted) if event.source is Source.FALSE_BARGE_IN]
    notices = [event for event in recording.all(Notice) if event.reason == "FALSE_BARGE_IN"]
    assert [rest.resumes_turn_id for rest in rests] == [notice.turn_id for notice in notices]
    assert {rest.resumes_turn_id for rest in rests} <= by_voice


def check_floor(recording: Recording) -> None:
    """The avatar has the floor while a turn runs; at the end nobody has."""
    turn_id = 0
    for event in recording.events:
        match event:
            case TurnStarted():
                turn_id = event.turn_id
            case TurnCompleted():
                turn_id = 0
            case StateChanged(State.THINKING | State.SPEAKING):
                assert event.turn_id == turn_id
            case StateChanged():
                assert turn_id == event.turn_id == 0
    states = recording.all(StateChanged)
    assert not states or states[-1].state is State.IDLE


@pytest.mark.parametrize("seed", range(100))
async def test_what_the_contract_promises_holds(seed: int) -> None:
    scenario = conversation(random.Random(seed))
    recording = await scenario.run()
    check_turns(recording)
    check_tools(recording)
    check_rests(recording)
    check_floor(recording)
    for event in recording.all(TurnStarted):
        check_media(recording, event.turn_id)
    stopped = [event.utterance_id for event in recording.all(SpeechStopped)]
    assert stopped == [event.utterance_id for event in recording.all(SpeechStarted)]
    assert sorted(event.utterance_id for event in recording.all(Transcript) if event.final) == stopped
    assert scenario.chat.running == scenario.fake_speech.running == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
