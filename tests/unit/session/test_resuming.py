"""A session whose stream broke goes on with another one: nothing lost, nothing heard twice."""

import asyncio
from dataclasses import replace

import pytest

from avatar_service.engines.base import Message
from avatar_service.events import Outcome, Source, TurnCompleted, TurnStarted
from avatar_service.media.types import ToolCall
from avatar_service.session.saved import SavedSession
from avatar_service.turn.prompting import GO_ON
from tests.scenario import Recording, Scenario

REPLY = "The moon is near. It goes around the earth once a month."
MOMENTS_S = [0.3 + step * 0.11 for step in range(30)]


def speaking() -> Scenario:
    """The user asks, the avatar speaks for about three seconds."""
    return Scenario().text(0.2, "How far?").reply(REPLY, duration_s=0.0).speech(rate=20.0).listen_until(60.0)


async def resumed(cut: Scenario, *, played_s: float | None = None, after: Scenario | None = None) -> Recording:
    """What follows, on another stream, maybe of another process: the record goes through bytes."""
    assert cut.saved is not None
    cut.saved = SavedSession.from_bytes(cut.saved.to_bytes())
    return await (after or Scenario()).resuming(cut, played_s=played_s).run()


@pytest.mark.parametrize("at_s", MOMENTS_S)
async def test_wherever_a_reply_is_cut_the_rest_is_spoken_from_the_next_word(at_s: float) -> None:
    cut = speaking()
    await cut.cut(at_s)
    after = Scenario().reply(REPLY).speech(rate=20.0).text(8.0, "Thanks.")
    recording = await resumed(cut, after=after)
    assert after.chat.requests[-1][1:] == [
        Message("user", "How far?"),
        Message("assistant", REPLY),
        Message("user", "Thanks."),
    ]
    rests = [turn for turn in recording.all(TurnStarted) if turn.source is Source.RESUME]
    if rests:
        assert (rests[0].turn_id, rests[0].resumes_turn_id) == (2, 1)
        assert recording.only(TurnCompleted, 2).outcome is Outcome.COMPLETED
    else:
        end = recording.only(TurnCompleted, 1)
        assert (end.outcome, end.generated_text, end.heard_text) == (Outcome.COMPLETED, REPLY, REPLY)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_the_client_says_it_has_played_counts_more_than_what_was_known() -> None:
    cut = speaking()
    await cut.cut(2.0)
    recording = await resumed(cut, played_s=0.6)
    assert recording.all(TurnStarted)[0].resumes_turn_id == 1
    everything = recording.all(TurnCompleted)[0].heard_text
    assert REPLY.endswith(everything)
    assert len(everything.split()) > len(REPLY.split()) - 4


async def test_a_position_in_another_turn_says_nothing() -> None:
    cut = speaking()
    await cut.cut(2.0)
    assert cut.saved is not None
    one = (await resumed(cut)).all(TurnCompleted)[0].heard_text
    cut.saved = replace(cut.saved, last_turn_id=7)
    other = await resumed(cut, played_s=0.1)
    assert other.all(TurnCompleted)[0].heard_text == one
    assert other.all(TurnStarted)[0].turn_id == 8


async def test_what_was_not_written_yet_is_written_from_where_the_reply_stopped() -> None:
    cut = Scenario().text(0.2, "How far?").reply("The moon is near. It is round. It goes around us.", duration_s=3.0)
    await cut.speech(rate=20.0).listen_until(60.0).cut(2.9)
    after = Scenario().reply("It goes around us.").speech(rate=20.0).text(8.0, "Thanks.")
    recording = await resumed(cut, after=after)
    request = after.chat.requests[0]
    assert [message.role for message in request] == ["system", "user", "assistant", "system"]
    assert request[-1].text == GO_ON
    assert "The moon is near. It is round.".endswith(request[-2].text)
    assert after.chat.requests[-1][-2] == Message("assistant", "The moon is near. It is round. It goes around us.")
    assert recording.all(TurnCompleted)[0].heard_text.endswith("It goes around us.")


async def test_a_question_whose_answer_had_not_begun_is_answered() -> None:
    cut = Scenario().text(0.2, "How far?").reply("Near.", ttft_s=9.0).listen_until(60.0)
    await cut.cut(2.0)
    after = Scenario().reply("Near.")
    recording = await resumed(cut, after=after)
    assert recording.only(TurnStarted).source is Source.RESUME
    assert after.chat.requests == [[Message("system", "Be brief."), Message("user", "How far?")]]


async def test_words_that_were_understood_are_answered_also_if_the_user_had_begun_to_speak_on() -> None:
    cut = Scenario().user_speech(0.5, 1.5, "I would like").reply("Sure.", ttft_s=9.0).user_speech(2.4, 5.0, "a ticket.")
    await cut.cut(3.0)
    after = Scenario().reply("Fine.")
    await resumed(cut, after=after)
    assert after.chat.requests == [[Message("system", "Be brief."), Message("user", "I would like")]]


async def test_an_utterance_that_was_not_understood_is_not_answered_twice() -> None:
    cut = Scenario().user_speech(0.5, 1.5, "How far?", delay_s=9.0).listen_until(60.0)
    await cut.cut(3.0)
    recording = await resumed(cut)
    assert recording.all(TurnStarted) == []
    assert recording.only(TurnCompleted, 1).outcome is Outcome.SKIPPED


async def test_a_rest_that_was_owed_after_a_cough_is_spoken() -> None:
    cut = speaking().cough(1.5)
    first = await cut.cut(3.0)
    after = Scenario().speech(rate=20.0)
    recording = await resumed(cut, after=after)
    heard = [event.heard_text for event in [first.only(TurnCompleted, 1), recording.only(TurnCompleted, 3)]]
    assert " ".join(heard) == REPLY


async def test_calls_of_tools_that_were_awaited_are_made_again() -> None:
    call = ToolCall("c1", "weather", "{}")
    cut = Scenario().text(0.2, "Is it warm?").reply("Let me see.", tool_calls=(call,)).listen_until(60.0)
    await cut.cut(5.0)
    after = Scenario().reply("It is.")
    recording = await resumed(cut, after=after)
    assert recording.only(TurnStarted).source is Source.RESUME
    assert after.chat.requests[0][1:3] == [Message("user", "Is it warm?"), Message("assistant", "Let me see.")]


async def test_what_waited_is_spoken_behind_the_rest() -> None:
    cut = speaking().say(0.5, "One more thing.").say(0.6, "And another.")
    await cut.cut(1.5)
    recording = await resumed(cut)
    assert [turn.source for turn in recording.all(TurnStarted)] == [Source.RESUME, Source.SAY, Source.SAY]
    assert recording.all(TurnCompleted)[-1].heard_text == "And another."


async def test_a_session_that_was_cut_while_nobody_spoke_says_nothing_and_its_numbers_go_on() -> None:
    cut = Scenario().user_speech(0.5, 1.5, "How far?").reply("Near.").listen_until(60.0)
    await cut.cut(8.0)
    after = Scenario().configured(first_message="Welcome.").user_speech(0.5, 1.5, "Still there?")
    after.transcriber.script.insert(0, after.transcriber.script[0])
    recording = await resumed(cut, after=after)
    (turn,) = recording.all(TurnStarted)
    assert (turn.turn_id, turn.utterance_ids) == (2, (2,))
    assert [message.text for message in after.chat.requests[0]] == ["Be brief.", "How far?", "Near.", "Still there?"]


async def test_the_end_of_a_turn_is_told_again_since_the_client_may_not_have_heard_of_it() -> None:
    cut = speaking()
    first = await cut.cut(8.0)
    told = first.only(TurnCompleted, 1)
    end = (await resumed(cut)).only(TurnCompleted)
    assert (end.turn_id, end.outcome, end.generated_text, end.heard_text) == (1, told.outcome, REPLY, told.heard_text)


async def test_a_say_that_was_cut_before_its_first_sound_is_said() -> None:
    cut = Scenario().say(0.2, REPLY).speech(ttfb_s=5.0).listen_until(60.0)
    await cut.cut(1.0)
    assert (await resumed(cut)).only(TurnCompleted).heard_text == REPLY
