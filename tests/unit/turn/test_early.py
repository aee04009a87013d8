"""What is understood, and answered, within the closing silence: kept if that holds, thrown away if it does not."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from avatar_service import metrics
from avatar_service.engines.base import ChatDelta
from avatar_service.errors import EngineUnavailable
from avatar_service.events import Notice, Outcome, ReplyText, SpeechStopped, Transcript, TurnCompleted, TurnStarted
from avatar_service.session.hearing import EARLY_TRIES
from avatar_service.stages.endpointing import PAUSE_S
from avatar_service.turn.early import DELTAS, Early, EarlyReply
from tests.fakes.chat import Reply
from tests.scenario import TURN, Scenario

WINDOW_S = 0.032
GONE = EngineUnavailable("think", "fake", "")
ENDS_S, STOPPED_S = 2.0, 2.5
"""When the user falls silent, and when that counts as the end."""


def speaking(text: str = "How far?", *, delay_s: float = 0.25, **settings: object) -> Scenario:
    """The user says one thing; it takes a quarter of a second to understand."""
    scenario = Scenario().user_speech(0.5, ENDS_S, text, delay_s=delay_s).reply("Near.", ttft_s=0.5)
    return scenario.configured(early=True, **settings)


def replies(outcome: str) -> float:
    """Replies of this process that were begun before their turn and came to this."""
    return metrics.REGISTRY.get_sample_value("avatar_preemptive_replies_total", {"outcome": outcome}) or 0.0


def nothing_runs(scenario: Scenario) -> bool:
    return scenario.chat.running == 0 and asyncio.all_tasks() == {asyncio.current_task()}


async def test_transcription_begins_within_the_closing_silence_and_its_time_is_saved() -> None:
    scenario = speaking()
    recording = await scenario.run()
    (utterance,) = scenario.transcriber.utterances
    assert utterance.duration_s == pytest.approx(0.3 + 1.5 + PAUSE_S, abs=2 * WINDOW_S)
    stopped_s = recording.time(SpeechStopped)
    assert stopped_s == pytest.approx(STOPPED_S, abs=2 * WINDOW_S)
    assert recording.time(TurnStarted) == pytest.approx(stopped_s)
    assert recording.time(Transcript) == pytest.approx(stopped_s)
    assert recording.only(Transcript).text == "How far?"
    assert recording.only(TurnCompleted).timings.between_s("transcription_started", "transcribed") == pytest.approx(
        STOPPED_S - ENDS_S - PAUSE_S, abs=2 * WINDOW_S
    )


async def test_one_that_takes_longer_is_awaited_and_not_begun_again() -> None:
    scenario = speaking(delay_s=1.0)
    recording = await scenario.run()
    assert len(scenario.transcriber.utterances) == 1
    assert recording.time(Transcript) == pytest.approx(ENDS_S + PAUSE_S + 1.0, abs=2 * WINDOW_S)


@pytest.mark.parametrize("delay_s", [0.02, 0.25])
async def test_if_the_user_goes_on_all_of_the_utterance_is_understood_at_its_end(delay_s: float) -> None:
    scenario = speaking(delay_s=delay_s)
    scenario._speech.append((ENDS_S + 0.3, 3.0))
    recording = await scenario.run()
    first, second = scenario.transcriber.utterances
    assert second.duration_s == pytest.approx(0.3 + 2.5 + PAUSE_S, abs=2 * WINDOW_S)
    assert first.duration_s < second.duration_s
    assert scenario.transcriber.cancelled == (delay_s == 0.25)
    assert recording.only(Transcript).end_s == pytest.approx(3.0, abs=WINDOW_S)
    assert len(recording.all(TurnStarted)) == 1


async def test_an_interim_transcript_comes_before_the_final_one_where_it_is_wanted() -> None:
    recording = await speaking(interim=True).run()
    assert [(event.final, event.text) for event in recording.all(Transcript)] == [
        (False, "How far?"),
        (True, "How far?"),
    ]
    assert recording.time(Transcript) < recording.time(SpeechStopped)


async def test_early_transcription_that_fails_fails_as_the_other_does() -> None:
    error = EngineUnavailable("transcribe", "fake", "gone")
    scenario = Scenario().user_speech(0.5, 2.0, "", error=error).configured(early=True)
    recording = await scenario.run()
    assert recording.only(TurnCompleted).outcome is Outcome.SKIPPED
    assert recording.only(Notice).reason == "TRANSCRIPTION_FAILED"
    assert recording.only(Transcript).text == ""


@pytest.mark.parametrize("delay_s", [0.02, 0.25, 1.0])
async def test_one_that_has_used_its_attempts_is_not_begun_again_and_the_next_utterance_is(delay_s: float) -> None:
    scenario = speaking(delay_s=delay_s).user_speech(6.0, 7.0, "And the sun?").reply("Far.")
    scenario.transcriber.failures = [EngineUnavailable("transcribe", "fake", "gone")]
    recording = await scenario.run()
    assert [event.text for event in recording.all(Transcript)] == ["", "And the sun?"]
    assert [event.outcome for event in recording.all(TurnCompleted)] == [Outcome.SKIPPED, Outcome.COMPLETED]
    assert len(scenario.transcriber.utterances) == 2


@pytest.mark.parametrize("delay_s", [0.02, 1.0])
async def test_attempts_that_were_made_early_are_told_in_the_turn(delay_s: float) -> None:
    """Whether the first of them failed before the turn began, or within it."""
    scenario = speaking(delay_s=delay_s)
    scenario.transcriber.retries = [EngineUnavailable("transcribe", "fake", "gone")] * 2
    recording = await scenario.run()
    (notice,) = recording.all(Notice)
    assert (notice.reason, notice.stage, notice.turn_id) == ("RETRYING", "transcribe", 1)
    assert recording.only(TurnCompleted).retries == 2
    assert recording.only(Transcript).text == "How far?"


async def test_an_interim_transcript_never_follows_the_final_one() -> None:
    """A client that takes its time is being told the interim transcript when the silence has lasted."""
    for delay_s in (0.2, 0.24, 0.28, 0.3, 0.32):
        recording = await speaking(interim=True, delay_s=delay_s).slow_client(0.05).run()
        transcripts = recording.all(Transcript)
        assert [event.final for event in transcripts] in ([True], [False, True])


async def test_someone_who_thinks_aloud_costs_a_few_requests_alone() -> None:
    scenario = speaking(delay_s=0.02)
    scenario._speech += [(ENDS_S + 0.3 + 0.6 * word, ENDS_S + 0.6 + 0.6 * word) for word in range(10)]
    recording = await scenario.run()
    assert len(scenario.transcriber.utterances) == EARLY_TRIES + 1
    assert recording.only(Transcript).end_s == pytest.approx(ENDS_S + 6.0, abs=WINDOW_S)


async def test_a_new_utterance_is_transcribed_early_again() -> None:
    scenario = speaking().user_speech(6.0, 7.0, "And the sun?", delay_s=0.1)
    recording = await scenario.run()
    assert [event.text for event in recording.all(Transcript)] == ["How far?", "And the sun?"]
    assert recording.times(Transcript)[1] == pytest.approx(recording.times(SpeechStopped)[1])


async def test_a_marked_utterance_is_understood_in_the_pause_before_its_mark() -> None:
    scenario = Scenario().configured(manual=True, early=True).marked_speech(0.5, 3.0, "How far?", delay_s=0.25)
    scenario._speech[:] = [(0.5, ENDS_S)]
    recording = await scenario.run()
    assert len(scenario.transcriber.utterances) == 1
    assert recording.time(Transcript) == pytest.approx(recording.time(SpeechStopped))
    assert recording.only(SpeechStopped).offset_s == pytest.approx(ENDS_S, abs=WINDOW_S)


@pytest.mark.parametrize("early", [False, True])
async def test_a_marked_utterance_without_a_voice_asks_no_engine_and_starts_nothing(early: bool) -> None:
    scenario = Scenario().configured(manual=True, early=early).marked_speech(0.5, 3.0, "Thank you.")
    scenario._speech[:] = [(9.0, 9.0)]
    recording = await scenario.run()
    assert scenario.transcriber.utterances == []
    assert recording.only(Transcript).text == ""
    completed = recording.only(TurnCompleted)
    assert completed.outcome is Outcome.SKIPPED
    assert completed.transcribed_s == 0.0
    assert completed.timings.between_s("transcription_started", "transcribed") is None


async def test_a_preemptive_reply_is_written_before_the_turn_begins() -> None:
    taken, late = replies("taken"), await speaking().run()
    early = await (scenario := speaking(preemptive=True)).run()
    assert len(scenario.chat.requests) == 1
    saved_s = late.time(ReplyText) - early.time(ReplyText)
    assert saved_s == pytest.approx(STOPPED_S - (ENDS_S + PAUSE_S + 0.25), abs=3 * WINDOW_S)
    assert early.only(TurnCompleted).heard_text == "Near."
    assert early.only(TurnCompleted).timings.between_s("chat_started", "first_token") == pytest.approx(0.5)
    assert replies("taken") == taken + 1
    assert nothing_runs(scenario)


async def test_a_preemptive_reply_to_words_that_were_not_all_leaves_no_trace() -> None:
    discarded, scenario = replies("discarded"), speaking(preemptive=True, delay_s=0.02)
    scenario.chat.script[0:0] = scenario.chat.script[:1]
    scenario._speech.append((ENDS_S + 0.4, 3.0))
    recording = await scenario.run()
    assert len(scenario.chat.requests) == 2
    assert len(recording.all(TurnStarted)) == 1
    assert "".join(event.text for event in recording.all(ReplyText)) == "Near."
    assert replies("discarded") == discarded + 1
    assert nothing_runs(scenario)


async def test_a_preemptive_reply_to_another_prompt_is_not_used() -> None:
    """The system prompt changes while the reply is being written."""
    scenario = speaking(preemptive=True, delay_s=0.02).reconfigured(
        ENDS_S + 0.35, system_prompt="Be long.", early=True, preemptive=True
    )
    await scenario.run()
    assert [request[0].text for request in scenario.chat.requests] == ["Be brief.", "Be long."]
    assert nothing_runs(scenario)


async def test_a_preemptive_reply_that_broke_off_before_its_turn_is_asked_for_again() -> None:
    """Nobody has read any of it: the user gets a whole one."""
    scenario = Scenario().user_speech(0.5, ENDS_S, "How far?", delay_s=0.02).configured(early=True, preemptive=True)
    scenario.reply("Near by.", ttft_s=0.02, error=GONE, error_after=1).reply("Near.")
    completed = (await scenario.run()).only(TurnCompleted)
    assert (completed.outcome, completed.degraded_by) == (Outcome.COMPLETED, ())
    assert completed.generated_text == "Near."
    assert len(scenario.chat.requests) == 2


async def test_one_that_has_used_its_attempts_by_then_is_apologised_for_at_once() -> None:
    scenario = Scenario().user_speech(0.5, ENDS_S, "How far?", delay_s=0.02).configured(early=True, preemptive=True)
    recording = await scenario.reply("", ttft_s=0.02, error=GONE).run()
    completed = recording.only(TurnCompleted)
    assert completed.degraded_by == ("CHAT_FAILED",)
    assert completed.heard_text == TURN.apology
    assert recording.time(ReplyText) == pytest.approx(recording.time(TurnStarted))
    assert len(scenario.chat.requests) == 1
    assert nothing_runs(scenario)


async def test_one_that_fails_in_its_turn_fails_as_any_other() -> None:
    scenario = speaking(preemptive=True)
    scenario.chat.script[:] = [Reply("Near by.", 0.5, 0.2, GONE, 1)]
    completed = (await scenario.run()).only(TurnCompleted)
    assert completed.degraded_by == ("REPLY_CUT",)
    assert completed.generated_text == f"Near {TURN.apology}"
    assert completed.heard_text == TURN.apology


async def test_with_other_options_of_the_chat_model_a_preemptive_reply_is_not_used() -> None:
    scenario = speaking(preemptive=True, delay_s=0.02)
    options = replace(TURN.chat, temperature=0.1)
    await scenario.reconfigured(ENDS_S + 0.35, chat=options, early=True, preemptive=True).run()
    assert scenario.chat.options == [TURN.chat, options]
    assert nothing_runs(scenario)


async def test_no_reply_is_begun_to_words_that_sound_unfinished() -> None:
    scenario = speaking("I would like to", delay_s=0.02, preemptive=True, longest_silence_s=1.0)
    recording = await scenario.listen_until(6.0).run()
    assert recording.only(TurnCompleted).timings.between_s("turn_started", "chat_started") == pytest.approx(
        0.0, abs=WINDOW_S
    )
    assert len(scenario.chat.requests) == 1


async def test_a_long_reply_waits_for_its_turn_within_bounds() -> None:
    """The user may not go on, and the silence lasts: what is written meanwhile must not grow without end."""
    written = 0

    async def endless() -> AsyncGenerator[ChatDelta, None]:
        nonlocal written
        while True:
            written += 1
            yield ChatDelta(text="word ")

    async with asyncio.TaskGroup() as tasks:
        reply = EarlyReply([], TURN.chat, endless())
        early = Early(tasks, asyncio.sleep(0, "How far?"), lambda text: reply)
        assert await early.text() == "How far?"
        await asyncio.sleep(1.0)
        assert written == DELTAS + 1
        early.discard()


@pytest.mark.parametrize("at_s", [2.3, 2.5, 2.6, 2.9])
async def test_whatever_ends_the_turn_ends_what_was_begun_early(at_s: float) -> None:
    scenario = speaking(preemptive=True, delay_s=0.5).interrupt(at_s).text(4.0, "Hello?")
    recording = await scenario.run()
    assert recording.all(TurnCompleted)[-1].outcome is Outcome.COMPLETED
    assert len(recording.all(Transcript)) == 1
    assert nothing_runs(scenario)


@pytest.mark.parametrize(("text", "waits"), [("I would like to", True), ("How far is the moon?", False)])
async def test_words_that_sound_unfinished_get_a_longer_silence(text: str, waits: bool) -> None:
    recording = await speaking(text, delay_s=0.1, longest_silence_s=1.5).listen_until(6.0).run()
    assert recording.time(TurnStarted) == pytest.approx(ENDS_S + (1.5 if waits else 0.5), abs=2 * WINDOW_S)


async def test_an_unfinished_pause_ends_when_the_user_goes_on_and_the_next_is_judged_anew() -> None:
    scenario = speaking("I would like to", delay_s=0.1, longest_silence_s=3.0)
    scenario._speech.append((ENDS_S + 1.0, 4.0))
    recording = await scenario.run()
    assert recording.only(TurnStarted).utterance_ids == (1,)
    assert recording.only(Transcript).end_s == pytest.approx(4.0, abs=WINDOW_S)
