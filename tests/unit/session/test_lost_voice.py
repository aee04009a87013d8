"""Text to speech that fails for good: the reply goes on as text, and what was spoken is played."""

import pytest

from avatar_service.engines.base import Message
from avatar_service.errors import EngineRejected, EngineUnavailable, Fault
from avatar_service.events import (
    Interrupted,
    Media,
    Notice,
    Outcome,
    ReplyFinished,
    ReplyText,
    Source,
    State,
    StateChanged,
    TurnCompleted,
    TurnStarted,
)
from avatar_service.media.types import SpeechChunk
from avatar_service.turn.failure import failure_of
from tests.scenario import Recording, Scenario

FIRST, SECOND, THIRD = "The moon is near.", "It goes around the earth once a month.", "Nobody lives there."
REPLY = f"{FIRST} {SECOND} {THIRD}"
GONE = EngineUnavailable("speak", "fake", "gone", Fault.OVERLOADED)
FIRST_S = 0.05 * len(FIRST)


def notices(recording: Recording, turn_id: int = 1) -> list[str]:
    return [notice.reason for notice in recording.all(Notice, turn_id)]


def written(recording: Recording, turn_id: int = 1) -> str:
    return "".join(event.text for event in recording.all(ReplyText, turn_id))


def lost(*, fails_on: str = "earth", fails: int | None = None, duration_s: float = 4.0, **speech: object) -> Scenario:
    """Somebody types, and the voice is lost in the second sentence of a reply that takes long to be written."""
    scenario = Scenario().text(0.0, "How far?").reply(REPLY, duration_s=duration_s)
    return scenario.speech(rate=20.0, error=GONE, fails_on=fails_on, fails=fails, **speech)


async def test_the_client_is_told_at_once_and_gets_the_whole_text() -> None:
    recording = await lost().run()
    (notice,) = (notice for notice in recording.all(Notice) if notice.reason != "SPEECH_STARVED")
    assert (notice.reason, notice.turn_id, notice.stage, notice.failure) == (
        "SPEECH_FAILED",
        1,
        "speak",
        failure_of(GONE),
    )
    second_written_s = recording.time(ReplyText, lambda event: "month." in event.text)
    third_begun_s = recording.time(ReplyText, lambda event: "Nobody" in event.text)
    told_s = recording.time(Notice, lambda event: event is notice)
    assert second_written_s < told_s == pytest.approx(third_begun_s + 0.1, abs=0.01), "the voice fails after 0.1 s"
    assert written(recording) == REPLY
    completed = recording.only(TurnCompleted)
    assert completed.outcome is Outcome.FAILED
    assert completed.failure == failure_of(GONE)
    assert completed.degraded_by == ("SPEECH_FAILED",)
    assert completed.generated_text == REPLY
    assert recording.time(TurnCompleted) > recording.times(ReplyText)[-1]


async def test_what_was_spoken_is_played_to_its_end_with_its_frames() -> None:
    scenario = lost(duration_s=0.0)
    recording = await scenario.run()
    voice = scenario.fake_speech.voice_of(FIRST)
    assert recording.voice()[: len(voice)] == voice
    assert not any(recording.voice()[len(voice) :])
    assert len(recording.voice()) - len(voice) < 1_920
    chunks = [chunk.index for _, chunk in recording.chunks()]
    assert chunks == list(range(len(chunks)))
    assert [frame.index for _, frame in recording.frames()] == chunks
    completed = recording.only(TurnCompleted)
    assert (completed.frames_held, completed.heard_text, completed.starved_s) == (0, FIRST, 0.0)
    assert recording.only(ReplyFinished).media_s == pytest.approx(0.04 * len(chunks))
    assert recording.time(TurnCompleted) == pytest.approx(recording.time(Media) + 0.04 * len(chunks), abs=0.001)


@pytest.mark.parametrize("aligned", [True, False], ids=["with times", "without"])
async def test_of_a_voice_that_is_lost_in_mid_sentence_what_was_heard_are_its_whole_words(aligned: bool) -> None:
    scenario = Scenario().text(0.0, "How far?").reply(REPLY, duration_s=0.0)
    refused = EngineRejected("speak", "fake", "no", Fault.QUOTA)
    recording = await scenario.speech(
        rate=20.0, error=refused, fails_on="earth", error_after_s=1.02, aligned=aligned
    ).run()
    completed = recording.only(TurnCompleted)
    assert completed.outcome is Outcome.FAILED
    if aligned:
        assert completed.heard_text == f"{FIRST} It goes around the"
    else:
        assert f"{FIRST} {SECOND}".startswith(completed.heard_text)
        assert completed.heard_text.startswith(f"{FIRST} It goes")
    assert completed.heard_estimated
    assert completed.generated_text == REPLY


async def test_the_model_learns_the_whole_reply_which_the_client_has_as_text_and_the_next_turn_speaks() -> None:
    scenario = lost(fails=1).text(12.0, "And the sun?")
    recording = await scenario.run()
    assert scenario.chat.requests[1][1:] == [
        Message("user", "How far?"),
        Message("assistant", REPLY),
        Message("user", "And the sun?"),
    ]
    second = recording.only(TurnCompleted, 2)
    assert (second.outcome, second.degraded_by, second.heard_text) == (Outcome.COMPLETED, (), REPLY)


async def test_a_voice_that_never_begins_leaves_a_turn_of_text_alone() -> None:
    scenario = lost(fails_on="").text(8.0, "And the sun?")
    recording = await scenario.run()
    first = recording.only(TurnCompleted, 1)
    assert (first.outcome, first.heard_text, first.media_s) == (Outcome.FAILED, "", 0.0)
    assert not [*recording.all(Media, 1), *recording.all(ReplyFinished, 1)]
    assert State.SPEAKING not in [event.state for event in recording.all(StateChanged, 1)]
    assert written(recording) == REPLY
    assert scenario.chat.requests[1][2] == Message("assistant", REPLY)


async def test_a_user_who_speaks_meanwhile_interrupts_as_ever() -> None:
    scenario = lost(duration_s=24.0).user_speech(22.0, 23.5, "Stop.").listen_until(25.0)
    scenario.reply("Yes?", duration_s=0.0)
    recording = await scenario.run()
    first = recording.only(TurnCompleted, 1)
    assert first.outcome is Outcome.INTERRUPTED
    assert recording.time(Interrupted) == pytest.approx(22.25, abs=0.05)
    assert recording.time(TurnCompleted) == pytest.approx(recording.time(Interrupted))
    assert first.failure is None
    assert "SPEECH_FAILED" in notices(recording)
    assert scenario.chat.running == scenario.fake_speech.running == 0
    assert scenario.chat.requests[1][1:] == [
        Message("user", "How far?"),
        Message("assistant", FIRST),
        Message("user", "Stop."),
    ]


async def test_a_client_that_asks_for_silence_while_the_rest_is_written_gets_it() -> None:
    recording = await lost(duration_s=24.0).interrupt(22.0).run()
    assert recording.only(TurnCompleted).outcome is Outcome.INTERRUPTED
    assert "SPEECH_FAILED" in notices(recording)
    assert recording.time(TurnCompleted) == pytest.approx(22.0)


@pytest.mark.parametrize("comes_back", [True, False])
async def test_after_a_cough_the_avatar_tries_to_speak_what_was_not_heard(comes_back: bool) -> None:
    scenario = lost(duration_s=0.0, fails=1 if comes_back else None).cough(0.7).listen_until(12.0)
    recording = await scenario.text(12.0, "And the sun?").run()
    first, _, rest, _ = recording.all(TurnCompleted)
    assert (first.outcome, notices(recording, 1)[0]) == (Outcome.INTERRUPTED, "SPEECH_FAILED")
    started = recording.only(TurnStarted, 3)
    assert (started.source, started.resumes_turn_id) == (Source.FALSE_BARGE_IN, 1)
    assert f"{first.heard_text} {rest.generated_text}" == REPLY
    assert rest.outcome is (Outcome.COMPLETED if comes_back else Outcome.FAILED)
    assert notices(recording, 3) == ([] if comes_back else ["SPEECH_FAILED"])
    assert scenario.chat.requests[1][2] == Message("assistant", REPLY)


async def test_a_stream_that_breaks_meanwhile_is_resumed_with_what_was_not_heard() -> None:
    broken = lost(duration_s=0.0)
    await broken.cut(0.9)
    resumed = Scenario().resuming(broken).text(12.0, "And the sun?")
    recording = await resumed.run()
    rest = recording.only(TurnCompleted, 2)
    assert recording.only(TurnStarted, 2).source is Source.RESUME
    assert rest.outcome is Outcome.COMPLETED
    assert rest.generated_text
    assert REPLY.endswith(rest.generated_text)
    assert resumed.chat.requests[0][2] == Message("assistant", REPLY)


async def test_a_session_that_is_left_behind_a_lost_voice_goes_on_from_the_whole_reply() -> None:
    broken = lost(duration_s=0.0)
    await broken.listen_until(20.0).cut(10.0)
    resumed = Scenario().resuming(broken).text(1.0, "And the sun?")
    recording = await resumed.run()
    assert [turn.source for turn in recording.all(TurnStarted)] == [Source.TEXT]
    assert resumed.chat.requests[0][2] == Message("assistant", REPLY)


async def test_the_words_of_a_say_are_delivered_and_remembered_too() -> None:
    scenario = Scenario().say(0.0, REPLY).say(0.1, FIRST).text(8.0, "And the sun?")
    recording = await scenario.speech(rate=20.0, error=GONE, fails_on="earth", fails=1).run()
    said, next_said, _ = recording.all(TurnCompleted)
    assert (said.outcome, said.generated_text, said.heard_text) == (Outcome.FAILED, REPLY, FIRST)
    assert written(recording) == REPLY
    assert (next_said.outcome, next_said.heard_text) == (Outcome.COMPLETED, FIRST)
    assert scenario.chat.requests[0][1] == Message("assistant", f"{REPLY} {FIRST}")


async def test_a_model_that_is_cut_behind_a_lost_voice_fails_the_turn_by_its_voice_and_both_are_told() -> None:
    cut = EngineUnavailable("think", "fake", "cut")
    scenario = Scenario().text(0.0, "How far?").reply(REPLY, duration_s=4.0, error=cut, error_after=14)
    recording = await scenario.speech(rate=20.0, error=GONE, fails_on="earth").run()
    completed = recording.only(TurnCompleted)
    assert completed.outcome is Outcome.FAILED
    assert completed.failure == failure_of(GONE)
    assert completed.degraded_by == ("SPEECH_FAILED", "REPLY_CUT")


async def test_only_where_the_client_says_it_has_played_counts_as_heard() -> None:
    scenario = (
        lost(duration_s=0.0).reporting(0.2, last_report=False).report(0.3, 1, 0.0).report(0.4, 1, 0.2, stopped=True)
    )
    recording = await scenario.run()
    completed = recording.only(TurnCompleted)
    assert (completed.outcome, completed.heard_text) == (Outcome.FAILED, "The")
    assert not completed.heard_estimated


async def test_a_voice_that_breaks_off_goes_on_without_a_gap_and_the_turn_is_degraded() -> None:
    recording = await lost(duration_s=0.0, fails=1, error_after_s=1.02).run()
    completed = recording.only(TurnCompleted)
    assert (completed.outcome, completed.degraded_by, completed.retries) == (Outcome.COMPLETED, ("RETRYING",), 1)
    assert completed.heard_text == REPLY
    chunks = [event.packet for event in recording.all(Media) if isinstance(event.packet, SpeechChunk)]
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert all(any(chunk.pcm) for chunk in chunks)
    assert completed.starved_s == 0.0
