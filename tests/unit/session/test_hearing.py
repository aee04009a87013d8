"""What a session hears: who decides that the user speaks, and what of the audio the client may forget."""

import pytest

from avatar_service.events import (
    AudioReceived,
    Interrupted,
    Notice,
    Outcome,
    SpeechStarted,
    SpeechStopped,
    State,
    StateChanged,
    Transcript,
    TurnCompleted,
    TurnStarted,
)
from avatar_service.stages.endpointing import EndpointingSettings
from tests.scenario import Scenario

REPLY = "The moon is near. It goes around the earth once a month."
WINDOW_S = 0.032


async def test_a_client_that_marks_its_utterances_decides_alone() -> None:
    scenario = Scenario().configured(manual=True).marked_speech(1.0, 3.0, "How far?").user_speech(5.0, 6.0, "unheard")
    recording = await scenario.run()
    assert [event.utterance_id for event in recording.all(SpeechStarted)] == [1]
    assert recording.only(SpeechStarted).offset_s == pytest.approx(1.0, abs=WINDOW_S)
    assert recording.only(SpeechStopped).offset_s == pytest.approx(3.0, abs=WINDOW_S)
    assert recording.time(TurnStarted) == pytest.approx(3.0, abs=2 * WINDOW_S)
    (utterance,) = scenario.transcriber.utterances
    assert utterance.duration_s == pytest.approx(0.3 + 2.0, abs=WINDOW_S)
    assert recording.only(TurnCompleted).outcome is Outcome.COMPLETED


async def test_a_mark_stops_the_avatar() -> None:
    scenario = Scenario().configured(manual=True).text(0.0, "one").reply(REPLY).marked_speech(1.5, 2.5, "two")
    recording = await scenario.run()
    assert recording.time(Interrupted) == pytest.approx(1.5, abs=2 * WINDOW_S)
    assert [event.outcome for event in recording.all(TurnCompleted)] == [Outcome.INTERRUPTED, Outcome.COMPLETED]


async def test_a_mark_that_is_never_closed_ends_with_the_audio_and_a_second_one_changes_nothing() -> None:
    scenario = Scenario().configured(manual=True).marked_speech(1.0, 2.0, "How far?").marked_speech(1.5, 2.5, "")
    recording = await scenario.run()
    assert len(recording.all(SpeechStarted)) == len(recording.all(SpeechStopped)) == 1


async def test_without_manual_mode_marks_mean_nothing() -> None:
    recording = await Scenario().marked_speech(1.0, 3.0, "How far?").run()
    assert recording.only(SpeechStopped).offset_s == pytest.approx(3.0, abs=2 * WINDOW_S)
    assert recording.time(TurnStarted) == pytest.approx(3.5, abs=2 * WINDOW_S)


async def test_new_settings_of_turn_taking_hold_at_once() -> None:
    scenario = (
        Scenario().user_speech(1.0, 2.0, "How far?").reconfigured(1.5, endpointing=EndpointingSettings(silence_s=2.0))
    )
    recording = await scenario.listen_until(6.0).run()
    assert recording.time(TurnStarted) == pytest.approx(4.0, abs=2 * WINDOW_S)
    scenario = Scenario().reconfigured(0.5, manual=True).user_speech(1.0, 2.0, "How far?")
    assert (await scenario.run()).all(SpeechStarted) == []


async def test_audio_is_acknowledged_up_to_words_that_are_not_known_yet() -> None:
    scenario = Scenario().user_speech(2.0, 3.0, "How far?", delay_s=3.0).listen_until(12.0)
    recording = await scenario.run()
    known_s = recording.time(Transcript)
    for at_s, event in recording.timed:
        if isinstance(event, AudioReceived):
            before = 2.0 < at_s < known_s
            assert event.offset_s == pytest.approx(1.7 if before else at_s, abs=1.1 if not before else 2 * WINDOW_S)
    assert recording.all(AudioReceived)[-1].offset_s == pytest.approx(12.0, abs=WINDOW_S)


@pytest.mark.parametrize("at_s", [2.0, 2.9, 3.4, 3.55, 3.61, 4.0, 5.0])
async def test_whatever_becomes_of_an_utterance_its_audio_is_acknowledged_in_the_end(at_s: float) -> None:
    scenario = Scenario().user_speech(2.0, 3.0, "How far?").reply(REPLY).interrupt(at_s).listen_until(10.0)
    assert (await scenario.run()).all(AudioReceived)[-1].offset_s == pytest.approx(10.0, abs=WINDOW_S)
    refused = Scenario().configured(barge_in=False).user_speech(2.0, 3.0, "How far?").listen_until(10.0)
    for _ in range(9):
        refused.say(1.5, REPLY)
    assert (await refused.run()).all(AudioReceived)[-1].offset_s == pytest.approx(10.0, abs=WINDOW_S)


@pytest.mark.parametrize(("suppresses", "stopped"), [(False, True), (True, False)])
async def test_an_echo_does_not_stop_the_avatar_where_it_is_suppressed(suppresses: bool, stopped: bool) -> None:
    scenario = (
        Scenario().text(0.0, "one").reply(REPLY).user_speech(1.5, 1.9, "two").configured(suppress_echo=suppresses)
    )
    recording = await scenario.run()
    assert bool(recording.all(Interrupted)) is stopped


async def test_a_longer_voice_stops_it_all_the_same_and_in_silence_nothing_is_suppressed() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).user_speech(1.5, 2.5, "two").configured(suppress_echo=True)
    assert len((await scenario.run()).all(Interrupted)) == 1
    recording = await Scenario().configured(suppress_echo=True).user_speech(1.5, 1.9, "two").run()
    assert recording.only(TurnCompleted).outcome is Outcome.COMPLETED


async def test_a_silent_microphone_starts_nothing() -> None:
    recording = await Scenario().user_speech(0.5, 1.0, "one").listen_until(60.0).run()
    assert len(recording.all(TurnStarted)) == 1
    assert recording.all(StateChanged)[-1].state is State.IDLE


async def test_a_long_utterance_is_told_and_answered() -> None:
    scenario = Scenario().configured(endpointing=EndpointingSettings(longest_s=2.0)).user_speech(1.0, 3.5, "How far?")
    recording = await scenario.run()
    (notice,) = [event for event in recording.all(Notice) if event.reason == "UTTERANCE_TOO_LONG"]
    assert notice.utterance_id == 1
    assert len(recording.all(SpeechStopped)) == len([event for event in recording.all(Transcript) if event.final]) == 2


async def test_a_change_to_marked_utterances_ends_what_is_being_said() -> None:
    scenario = Scenario().user_speech(1.0, 4.0, "How far?").reconfigured(2.0, manual=True).listen_until(6.0)
    recording = await scenario.run()
    assert recording.only(SpeechStopped).offset_s == pytest.approx(2.0, abs=2 * WINDOW_S)
    assert recording.only(TurnCompleted).outcome is Outcome.COMPLETED


async def test_a_resumed_session_counts_audio_and_utterances_on() -> None:
    cut = Scenario().user_speech(1.0, 2.0, "How far?").listen_until(20.0)
    await cut.cut(9.0)
    assert cut.saved is not None
    assert cut.saved.last_utterance_id == 1
    heard_s = cut.saved.acknowledged_s
    assert heard_s == pytest.approx(9.0 - 0.3, abs=0.1)
    recording = await Scenario().resuming(cut).user_speech(1.0, 2.0, "And the sun?").run()
    assert recording.only(SpeechStarted).utterance_id == 2
    assert recording.only(SpeechStarted).offset_s == pytest.approx(heard_s + 1.0, abs=WINDOW_S)
