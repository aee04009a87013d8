"""What the chat model learns of an interrupted reply: the words that were heard, to the word."""

import pytest

from avatar_service.engines.base import Message
from avatar_service.events import Interrupted, Media, Source, TurnCompleted, TurnStarted
from tests.scenario import Scenario

WORDS = "The moon is near. It goes around the earth once a month.".split()
REPLY = " ".join(WORDS)
A_CHARACTER_S = 0.05
"""How long the fake voice takes for one."""


def end_of_word_s(count: int) -> float:
    """When the first `count` words are over, in seconds of media: sentences follow each other without a pause."""
    return A_CHARACTER_S * sum(len(word) + (word[-1] != ".") for word in WORDS[:count]) - A_CHARACTER_S * (count != 4)


def interrupted(*, at_word: int = 5, by: str = "text") -> Scenario:
    """A client that reports is told to stop just after so many words."""
    scenario = Scenario().text(0.0, "How far?").reply(REPLY, duration_s=0.0).speech(rate=30.0).reporting(0.2)
    began_s = 0.1 + 0.1 + 0.04 / 30 + 0.03  # the first token, the first speech, a chunk of it, and a frame
    at_s = began_s + end_of_word_s(at_word) + 0.06
    if by == "text":
        return scenario.text(at_s, "Go on?")
    return scenario.cough(at_s - 0.25).listen_until(at_s + 10.0)


@pytest.mark.parametrize("count", range(1, len(WORDS)))
async def test_the_next_request_holds_exactly_the_words_that_were_heard(count: int) -> None:
    scenario = interrupted(at_word=count)
    recording = await scenario.run()
    heard = " ".join(WORDS[:count])
    assert recording.only(TurnCompleted, 1).heard_text == heard
    assert scenario.chat.requests[1][1:] == [
        Message("user", "How far?"),
        Message("assistant", heard),
        Message("user", "Go on?"),
    ]


async def test_after_a_cough_behind_the_fifth_word_the_next_turn_begins_at_the_sixth() -> None:
    recording = await interrupted(by="cough").run()
    assert recording.only(TurnCompleted, 1).heard_text == " ".join(WORDS[:5])
    rest = recording.all(TurnStarted)[-1]
    assert rest.source is Source.FALSE_BARGE_IN
    assert recording.only(TurnCompleted, rest.turn_id).generated_text == " ".join(WORDS[5:])


async def test_where_the_client_says_it_stopped_counts() -> None:
    at_s = 2.0
    scenario = Scenario().text(0.0, "How far?").reply(REPLY).speech(rate=30.0).interrupt(at_s)
    scenario.report(0.5, 1, 0.1).report(at_s + 0.1, 1, end_of_word_s(3), stopped=True)
    recording = await scenario.run()
    completed = recording.only(TurnCompleted)
    assert completed.heard_text == " ".join(WORDS[:3])
    assert recording.time(Interrupted) == pytest.approx(at_s)
    assert recording.time(TurnCompleted) == pytest.approx(at_s + 0.1)


async def test_a_client_that_does_not_say_where_it_stopped_is_waited_for_no_longer_than_300_ms() -> None:
    scenario = Scenario().text(0.0, "How far?").reply(REPLY).speech(rate=30.0).interrupt(1.5)
    scenario.report(1.4, 1, 0.9).report(2.5, 1, 0.0, stopped=True)
    recording = await scenario.run()
    assert recording.time(TurnCompleted) == pytest.approx(1.5 + 0.3)
    assert recording.only(TurnCompleted).heard_text == " ".join(
        WORDS[:5]
    )  # those of 1.0 s; the next is over 250 ms later


async def test_a_client_that_reports_nothing_is_not_waited_for_and_counts_as_a_little_behind() -> None:
    scenario = Scenario().text(0.0, "How far?").reply(REPLY).speech(rate=30.0).interrupt(2.0)
    recording = await scenario.run()
    assert recording.time(TurnCompleted) == recording.time(Interrupted) == pytest.approx(2.0)
    heard_s = 2.0 - recording.time(Media) - 0.2
    expected = [count for count in range(len(WORDS)) if end_of_word_s(count) <= heard_s][-1]
    completed = recording.only(TurnCompleted)
    assert completed.heard_text == " ".join(WORDS[:expected])
    assert completed.heard_estimated


async def test_the_history_is_the_same_whichever_report_comes_last() -> None:
    """A report that was on its way when the turn was stopped does not move what the client has told at its end."""
    scenario = interrupted()
    scenario.report(20.0, 1, 3.0).listen_until(20.0)
    await scenario.run()
    assert scenario.chat.requests[1][2] == Message("assistant", " ".join(WORDS[:5]))
