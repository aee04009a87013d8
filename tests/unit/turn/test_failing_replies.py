"""A chat model that fails: what is said instead, what the client is told, what is remembered, and what comes next."""

import asyncio

import pytest

from avatar_service.engines.base import Message
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable, Fault
from avatar_service.events import (
    FailureKind,
    Media,
    Notice,
    Outcome,
    ReplyText,
    Source,
    SpokenText,
    TurnCompleted,
    TurnStarted,
)
from avatar_service.media.types import ToolCall
from tests.measuring import Growth
from tests.scenario import TURN, Recording, Scenario

APOLOGY = TURN.apology
SENTENCES = "The moon is near. It goes around the earth."
REPLY = f"{SENTENCES} It is made of"
"""Two sentences and a half; the model fails before its next word."""
GONE = EngineUnavailable("think", "fake", "the vendor's own words")
REFUSED_KEY = EngineRejected(
    "think", "openai", "status 401", Fault.AUTHENTICATION, advice="OpenAI does not take the key in OPENAI_API_KEY."
)
FILTERED = EngineRejected("think", "openai", "the content filter ended the reply", Fault.FILTERED)
CALL = ToolCall("c1", "weather", "{}")


def asked(text: str, error: EngineError | None = GONE, **script: object) -> Scenario:
    """The user asks; the model writes a text and fails, or ends as the script says."""
    scenario = Scenario().speech(rate=20.0).text(0.0, "How far?")
    return scenario.reply(text, error=error, error_after=len(text.split()), **script)  # type: ignore[arg-type]  # a script


def notices(recording: Recording) -> list[tuple[str, str]]:
    """Reason and stage of each notice."""
    return [(notice.reason, notice.stage) for notice in recording.all(Notice)]


def spoken(recording: Recording, turn_id: int = 1) -> str:
    """The words of a turn that went to the client with its voice."""
    return "".join(word.text for word in recording.all(SpokenText, turn_id)).strip()


def read(recording: Recording, turn_id: int = 1) -> str:
    """The words of a turn that went to the client as text."""
    return "".join(event.text for event in recording.all(ReplyText, turn_id))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EngineTimeout("think", "fake", "slow"), FailureKind.TIMEOUT),
        (GONE, FailureKind.UNAVAILABLE),
        (FILTERED, FailureKind.REJECTED),
    ],
)
async def test_a_model_that_writes_nothing_is_apologised_for_and_the_next_turn_works(
    error: EngineError, kind: FailureKind
) -> None:
    scenario = asked("", error).text(6.0, "And the sun?").reply("Far.")
    recording = await scenario.run()
    first, second = recording.all(TurnCompleted)
    assert (first.outcome, first.failure, first.degraded_by) == (Outcome.COMPLETED, None, ("CHAT_FAILED",))
    assert read(recording) == spoken(recording) == first.generated_text == first.heard_text == APOLOGY
    assert recording.frames(1)
    (notice,) = recording.all(Notice)
    assert (notice.reason, notice.stage, notice.turn_id) == ("CHAT_FAILED", "think", 1)
    assert notice.failure
    assert (notice.failure.kind, notice.failure.fault) == (kind, error.fault.value)
    assert "vendor's own words" not in notice.failure.message
    assert (second.outcome, second.degraded_by, second.heard_text) == (Outcome.COMPLETED, (), "Far.")
    assert scenario.chat.requests[1][1:] == [
        Message("user", "How far?"),
        Message("assistant", APOLOGY),
        Message("user", "And the sun?"),
    ]


async def test_a_key_that_is_not_taken_is_named_by_its_setting() -> None:
    (notice,) = (await asked("", REFUSED_KEY).run()).all(Notice)
    assert notice.failure
    assert notice.failure.message == "OpenAI does not take the key in OPENAI_API_KEY."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The moon", APOLOGY),
        ("The moon is quite near, and it", f"The moon is quite near, {APOLOGY}"),
        ("The moon is near.", "The moon is near."),
        (REPLY, SENTENCES),
    ],
    ids=["half a sentence", "a clause and more", "a sentence", "two sentences and a half"],
)
@pytest.mark.parametrize("error", [GONE, FILTERED], ids=["cut", "filtered"])
async def test_of_a_reply_that_is_cut_whole_sentences_are_spoken_or_the_apology(
    text: str, expected: str, error: EngineError
) -> None:
    scenario = asked(text, error).text(8.0, "And the sun?").reply("Far.")
    recording = await scenario.run()
    first, second = recording.all(TurnCompleted)
    assert notices(recording) == [("REPLY_CUT", "think")]
    assert (first.outcome, first.degraded_by) == (Outcome.COMPLETED, ("REPLY_CUT",))
    assert spoken(recording) == first.heard_text == expected
    assert read(recording) == first.generated_text == (text if expected in text else f"{text} {APOLOGY}")
    assert second.outcome is Outcome.COMPLETED
    assert scenario.chat.requests[1][1:3] == [Message("user", "How far?"), Message("assistant", expected)]


async def test_what_was_written_is_spoken_without_waiting_for_the_end() -> None:
    slow = asked(REPLY, duration_s=4.0)
    assert (await slow.run()).time(Media) < 2.0


async def test_a_reply_that_reached_its_longest_ends_with_a_sentence_and_nothing_is_missing() -> None:
    scenario = asked(REPLY, error=None, finish_reason="length").text(6.0, "And?")
    recording = await scenario.run()
    completed = recording.only(TurnCompleted, 1)
    assert (completed.outcome, completed.degraded_by) == (Outcome.COMPLETED, ())
    assert spoken(recording) == SENTENCES
    assert completed.generated_text == REPLY
    assert scenario.chat.requests[1][2] == Message("assistant", SENTENCES)


async def test_one_that_reached_it_in_its_first_sentence_is_spoken_as_it_stands() -> None:
    recording = await asked("The moon is", error=None, finish_reason="length").run()
    assert spoken(recording) == "The moon is"
    assert recording.all(Notice) == []


async def test_a_model_that_fails_after_its_tools_have_returned_keeps_their_round() -> None:
    scenario = Scenario().speech(rate=20.0).text(0.0, "Is it warm?").reply("Let me see.", tool_calls=(CALL,))
    scenario.reply("", error=GONE).tool_results(3.0, c1="21").text(8.0, "Is it?").reply("Yes.")
    recording = await scenario.run()
    assert [turn.outcome for turn in recording.all(TurnCompleted)] == [
        Outcome.AWAITING_TOOLS,
        Outcome.COMPLETED,
        Outcome.COMPLETED,
    ]
    assert recording.only(TurnCompleted, 2).degraded_by == ("CHAT_FAILED",)
    assert scenario.chat.requests[2][1:] == [
        Message("user", "Is it warm?"),
        Message("assistant", "Let me see.", (CALL,)),
        Message("tool", "21", (), "c1"),
        Message("assistant", APOLOGY),
        Message("user", "Is it?"),
    ]


async def test_what_the_client_gives_to_say_has_nothing_to_do_with_the_model() -> None:
    recording = await Scenario().say(0.0, "Listen.").reply("", error=GONE).run()
    assert spoken(recording) == "Listen."
    assert recording.all(Notice) == []


async def test_the_apology_is_spoken_to_its_end_when_the_client_has_half_closed() -> None:
    """Without more input the session ends with its last turn."""
    recording = await asked("").run()
    assert recording.only(TurnCompleted).heard_text == APOLOGY
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("text", ["", "The moon"], ids=["failed", "cut"])
async def test_after_a_cough_the_apology_goes_on_with_its_next_word(text: str) -> None:
    scenario = asked(text).cough(1.2).listen_until(10.0).text(12.0, "And now?").reply("Fine.")
    recording = await scenario.run()
    first, _, rest, _ = recording.all(TurnCompleted)
    assert first.outcome is Outcome.INTERRUPTED
    assert recording.only(TurnStarted, 3).source is Source.FALSE_BARGE_IN
    assert first.heard_text
    assert f"{first.heard_text} {rest.heard_text}" == APOLOGY
    assert len(scenario.chat.requests) == 2, "the model is not asked again for what it could not answer"
    assert scenario.chat.requests[1][1:3] == [Message("user", "How far?"), Message("assistant", APOLOGY)]


async def test_words_of_the_user_end_the_apology_and_what_was_heard_of_it_is_remembered() -> None:
    scenario = asked("").user_speech(1.2, 2.2, "Never mind.").reply("Fine.")
    recording = await scenario.run()
    first = recording.only(TurnCompleted, 1)
    assert APOLOGY.startswith(first.heard_text)
    assert 0 < len(first.heard_text) < len(APOLOGY)
    assert scenario.chat.requests[1][1:] == [
        Message("user", "How far?"),
        Message("assistant", first.heard_text),
        Message("user", "Never mind."),
    ]


async def test_words_that_come_before_the_apology_is_heard_are_answered_with_those_before() -> None:
    scenario = Scenario().user_speech(0.5, 1.5, "How far?").reply("", ttft_s=0.2, error=GONE).speech(ttfb_s=1.0)
    scenario.user_speech(2.6, 3.5, "Is the moon?").reply("Near.")
    recording = await scenario.run()
    assert recording.only(TurnCompleted, 1).outcome is Outcome.INTERRUPTED
    assert scenario.chat.requests[1][1:] == [Message("user", "How far? Is the moon?")]


@pytest.mark.parametrize(
    ("text", "reason", "heard"),
    [("", "CHAT_FAILED", f"{SENTENCES} {APOLOGY}"), ("It is", "REPLY_CUT", SENTENCES)],
    ids=["failed", "cut"],
)
async def test_a_model_that_cannot_go_on_with_a_reply_leaves_what_was_written_before(
    text: str, reason: str, heard: str
) -> None:
    """The stream breaks while the reply is being written; on the next one the model is asked for the rest."""
    cut = Scenario().speech(rate=20.0).text(0.0, "How far?").reply(f"{SENTENCES} It is stone.", duration_s=9.0)
    await cut.cut(8.0)
    after = Scenario().speech(rate=20.0).resuming(cut, played_s=0.0).reply(text, error=GONE, error_after=2)
    completed = (await after.text(8.0, "Thanks.").run()).only(TurnCompleted, 2)
    assert (completed.outcome, completed.degraded_by) == (Outcome.COMPLETED, (reason,))
    assert completed.heard_text == heard
    assert after.chat.requests[1][1:3] == [Message("user", "How far?"), Message("assistant", heard)]


@pytest.mark.parametrize("at_s", [0.5, 0.8, 1.2, 1.6])
async def test_a_stream_that_breaks_in_the_apology_is_resumed_with_its_rest(at_s: float) -> None:
    cut = asked("The moon").listen_until(30.0)
    await cut.cut(at_s)
    after = Scenario().speech(rate=20.0).resuming(cut).text(6.0, "And now?").reply("Fine.")
    await after.run()
    assert [request[1:] for request in after.chat.requests] == [
        [Message("user", "How far?"), Message("assistant", APOLOGY), Message("user", "And now?")]
    ]


async def test_an_apology_that_cannot_be_spoken_is_read() -> None:
    lost = EngineUnavailable("speak", "fake", "gone")
    scenario = asked("").speech(error=lost).text(6.0, "And now?").reply("Fine.")
    recording = await scenario.run()
    first = recording.only(TurnCompleted, 1)
    assert first.outcome is Outcome.FAILED
    assert first.failure
    assert first.failure.stage == "speak"
    assert set(first.degraded_by) == {"CHAT_FAILED", "SPEECH_FAILED"}
    assert read(recording) == APOLOGY
    assert scenario.chat.requests[1][1:3] == [Message("user", "How far?"), Message("assistant", APOLOGY)]


async def test_failures_in_a_row_are_counted_until_the_model_answers() -> None:
    await asked("Near. So", error=None).run()
    zero = Growth()
    await asked("").run()
    await asked(REPLY).run()
    await Scenario().say(0.0, "Listen.").run()
    assert zero("avatar_consecutive_failures", stage="think") == 2
    assert zero("avatar_turns_degraded_total", reason="CHAT_FAILED") == 1
    await asked("Near.", error=None).run()
    assert zero("avatar_consecutive_failures", stage="think") == 0
