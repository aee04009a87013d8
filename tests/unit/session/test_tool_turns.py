"""Tools in a conversation: who waits for whom, and what is remembered."""

import pytest

from avatar_service.engines.base import Message
from avatar_service.errors import EngineUnavailable
from avatar_service.events import (
    Interrupted,
    Notice,
    Outcome,
    Source,
    ToolCalls,
    ToolCallsCancelled,
    TurnCompleted,
    TurnStarted,
)
from avatar_service.media.types import ToolCall
from avatar_service.session.inputs import Interrupt, ToolResult, ToolResults
from avatar_service.session.tool_calls import NO_RESULT
from avatar_service.turn.prompting import GO_ON
from tests.scenario import Recording, Scenario

WEATHER, TIME = ToolCall("c1", "weather", '{"city":"Rome"}'), ToolCall("c2", "time", "{}")
LOOK = "Let me see."
SAID, PLAYED_S = Message("user", "Is it warm?"), 1.0
"""By then the asking turn has been played."""


def asking(*calls: ToolCall, text: str = LOOK) -> Scenario:
    """The user asks, the model says a word or two and calls tools."""
    scenario = Scenario().speech(rate=20.0).text(0.0, SAID.text).reply(text, tool_calls=calls or (WEATHER,))
    return scenario.reply("It is.")


def outcomes(recording: Recording) -> list[Outcome]:
    return [event.outcome for event in recording.all(TurnCompleted)]


async def test_a_turn_that_calls_tools_is_played_and_the_results_start_the_next() -> None:
    scenario = asking().tool_results(3.0, c1="21")
    recording = await scenario.run()
    assert recording.only(ToolCalls) == ToolCalls(1, (WEATHER,))
    assert outcomes(recording) == [Outcome.AWAITING_TOOLS, Outcome.COMPLETED]
    assert recording.only(TurnCompleted, 1).heard_text == LOOK
    started = recording.only(TurnStarted, 2)
    assert (started.source, started.utterance_ids) == (Source.TOOL_RESULTS, ())
    assert recording.time(TurnStarted, lambda event: event.turn_id == 2) == pytest.approx(3.0)
    assert scenario.chat.requests[1][1:] == [
        SAID,
        Message("assistant", LOOK, (WEATHER,)),
        Message("tool", "21", (), "c1"),
    ]


async def test_the_round_is_remembered_with_the_answer() -> None:
    scenario = asking().tool_results(3.0, c1="21").text(6.0, "And now?")
    await scenario.run()
    assert scenario.chat.requests[2][1:] == [
        SAID,
        Message("assistant", LOOK, (WEATHER,)),
        Message("tool", "21", (), "c1"),
        Message("assistant", "It is."),
        Message("user", "And now?"),
    ]


async def test_results_may_come_one_by_one() -> None:
    scenario = asking(WEATHER, TIME).tool_results(3.0, c2="noon").tool_results(4.0, c1="21")
    recording = await scenario.run()
    assert recording.time(TurnStarted, lambda event: event.turn_id == 2) == pytest.approx(4.0)
    assert scenario.chat.requests[1][-2:] == [Message("tool", "21", (), "c1"), Message("tool", "noon", (), "c2")]


async def test_results_that_come_while_the_turn_is_spoken_wait_for_its_end() -> None:
    scenario = asking().tool_results(0.6, c1="21")
    recording = await scenario.run()
    completed_s = recording.time(TurnCompleted)
    assert completed_s > 0.7
    assert recording.time(TurnStarted, lambda event: event.turn_id == 2) == pytest.approx(completed_s)
    assert outcomes(recording) == [Outcome.AWAITING_TOOLS, Outcome.COMPLETED]
    assert recording.all(Notice) == []


async def test_a_turn_of_calls_alone_has_no_media() -> None:
    recording = await asking(text="").tool_results(3.0, c1="21").run()
    assert outcomes(recording) == [Outcome.AWAITING_TOOLS, Outcome.COMPLETED]
    assert recording.chunks(1) == []


async def test_a_result_that_nobody_waits_for_is_ignored_with_a_notice() -> None:
    recording = await asking().tool_results(3.0, c9="?").tool_results(4.0, c1="21").tool_results(8.0, c1="22").run()
    assert [notice.reason for notice in recording.all(Notice)] == ["REQUEST_IGNORED", "REQUEST_IGNORED"]
    assert "c9" in recording.all(Notice)[0].message
    assert len(recording.all(TurnStarted)) == 2


async def test_a_tool_that_fails_says_so_to_the_model() -> None:
    scenario = asking().input(3.0, ToolResults((ToolResult("c1", "no such city", failed=True),)))
    await scenario.run()
    assert scenario.chat.requests[1][-1] == Message("tool", '{"error": "no such city"}', (), "c1")


@pytest.mark.parametrize("how", ["voice", "text", "interrupt", "say"])
@pytest.mark.parametrize("at_s", [0.6, 3.0], ids=["while it is spoken", "while its results are awaited"])
async def test_who_speaks_first_cancels_the_calls_and_nothing_of_them_is_remembered(how: str, at_s: float) -> None:
    scenario = asking().listen_until(10.0).tool_results(8.0, c1="21")
    match how:
        case "voice":
            scenario.user_speech(at_s - 0.3, at_s + 1.0, "Never mind.")
        case "text":
            scenario.text(at_s, "Never mind.")
        case "say":
            scenario.say(at_s, "So.", interrupts=True)
        case _:
            scenario.input(at_s, Interrupt(turn_id=1))
    recording = await scenario.text(9.0, "Hello?").run()
    assert recording.only(ToolCallsCancelled) == ToolCallsCancelled(1, ("c1",))
    assert [notice.reason for notice in recording.all(Notice)] == ["REQUEST_IGNORED"]
    assert len(recording.all(Interrupted)) == (at_s == 0.6)
    said = scenario.chat.requests[-1]
    assert [message.role for message in said].count("tool") == 0
    assert [message.tool_calls for message in said if message.tool_calls] == []


async def test_after_results_that_do_not_come_the_model_is_told_so_and_goes_on() -> None:
    scenario = asking(WEATHER, TIME).tool_results(3.0, c1="21").listen_until(30.0)
    recording = await scenario.configured(tool_timeout_s=5.0).run()
    notice = recording.only(Notice)
    assert (notice.reason, notice.turn_id) == ("TOOL_TIMEOUT", 1)
    assert recording.only(ToolCallsCancelled) == ToolCallsCancelled(1, ("c2",))
    completed_s = recording.time(TurnCompleted)
    assert recording.time(TurnStarted, lambda event: event.turn_id == 2) == pytest.approx(completed_s + 5.0)
    assert scenario.chat.requests[1][-2] == Message("tool", "21", (), "c1")
    assert NO_RESULT in scenario.chat.requests[1][-1].text
    assert outcomes(recording) == [Outcome.AWAITING_TOOLS, Outcome.COMPLETED]


async def test_a_say_waits_until_the_question_is_answered() -> None:
    recording = await asking().say(2.0, "By the way.").tool_results(3.0, c1="21").run()
    assert [event.source for event in recording.all(TurnStarted)] == [Source.TEXT, Source.TOOL_RESULTS, Source.SAY]
    assert recording.all(ToolCallsCancelled) == []


async def test_after_half_close_no_result_can_come_so_the_model_answers_without() -> None:
    scenario = asking()
    recording = await scenario.run()
    assert recording.only(ToolCallsCancelled) == ToolCallsCancelled(1, ("c1",))
    assert outcomes(recording) == [Outcome.AWAITING_TOOLS, Outcome.COMPLETED]
    assert NO_RESULT in scenario.chat.requests[1][-1].text
    assert recording.timed[-1][0] < 5.0


async def test_a_model_that_calls_again_after_half_close_does_not_keep_the_session_alive() -> None:
    scenario = Scenario().speech(rate=20.0).text(0.0, SAID.text).reply(LOOK, tool_calls=(WEATHER,))
    recording = await scenario.run()
    assert outcomes(recording) == [Outcome.AWAITING_TOOLS, Outcome.AWAITING_TOOLS]
    assert len(recording.all(ToolCallsCancelled)) == 2


async def test_a_turn_that_fails_after_its_calls_cancels_them() -> None:
    error = EngineUnavailable("speak", "fake", "gone")
    recording = await asking().speech(error=error).listen_until(3.0).run()
    assert outcomes(recording) == [Outcome.FAILED]
    assert recording.only(ToolCallsCancelled) == ToolCallsCancelled(1, ("c1",))


async def test_after_a_cough_while_results_are_awaited_the_model_is_asked_again() -> None:
    scenario = asking().cough(3.0).listen_until(10.0)
    recording = await scenario.run()
    assert recording.only(ToolCallsCancelled) == ToolCallsCancelled(1, ("c1",))
    assert recording.all(TurnStarted)[-1].source is Source.FALSE_BARGE_IN
    assert recording.all(TurnCompleted)[-1].heard_text == "It is."
    assert scenario.chat.requests[1][1:] == [SAID, Message("assistant", LOOK), Message("system", GO_ON)]


async def test_after_a_cough_while_all_results_are_there_the_model_goes_on_from_them() -> None:
    look = "Let me see, that may take a little while."
    scenario = asking(text=look).tool_results(0.7, c1="21").cough(0.9).listen_until(10.0)
    recording = await scenario.run()
    first, _, rest = recording.all(TurnCompleted)
    assert recording.all(ToolCallsCancelled) == []
    assert f"{first.heard_text} {rest.heard_text}" == f"{look} It is."
    roles = [message.role for message in scenario.chat.requests[1]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "system"]
