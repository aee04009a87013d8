"""The conversation as the chat model is told it."""

from avatar_service.engines.base import Message
from avatar_service.media.types import ToolCall
from avatar_service.turn.history import LONGEST, History

CALL = ToolCall("c1", "weather", "{}")
ROUND = (Message("assistant", "", (CALL,)), Message("tool", "21", (), "c1"))


def test_it_begins_with_the_system_prompt_and_what_was_said_before() -> None:
    before = (Message("user", "Hi."), Message("assistant", "Hello."))
    assert History(before).prompt("Be brief.") == [Message("system", "Be brief."), *before]
    assert History(before).prompt("") == list(before)


def test_what_the_user_said_and_heard_follows_in_order() -> None:
    history = History()
    history.answered("How far?", "Near.")
    history.answered("Really?")
    assert history.prompt("") == [
        Message("user", "How far?"),
        Message("assistant", "Near."),
        Message("user", "Really?"),
    ]


def test_a_prompt_has_what_is_said_and_leaves_the_history_alone() -> None:
    history = History()
    history.answered("How far?", "Near.")
    asked = history.prompt("", "Really?")
    assert asked[-1] == Message("user", "Really?")
    assert history.prompt("", "Really?") == asked
    assert history.messages == (Message("user", "How far?"), Message("assistant", "Near."))


def test_a_reply_of_which_nothing_was_heard_leaves_nothing_and_the_questions_are_joined() -> None:
    history = History()
    history.answered("How far", "")
    assert history.prompt("", "is the moon?") == [Message("user", "How far is the moon?")]
    history.answered("is the moon?", "Near.")
    assert history.messages == (Message("user", "How far is the moon?"), Message("assistant", "Near."))


def test_what_is_heard_in_two_turns_is_one_message() -> None:
    history = History()
    history.answered("How far?", "The moon is")
    history.answered(heard="rather near.")
    assert history.messages[-1] == Message("assistant", "The moon is rather near.")


def test_a_round_of_tools_follows_what_was_heard_before_it_in_one_message_of_the_assistant() -> None:
    history = History()
    history.answered("Is it warm?", "Let me see.")
    assert history.prompt("", "", ROUND)[1:] == [Message("assistant", "Let me see.", (CALL,)), ROUND[1]]
    history.answered("", "It is.", ROUND)
    assert [message.role for message in history.messages] == ["user", "assistant", "tool", "assistant"]


def test_what_is_said_after_a_call_is_not_joined_to_it() -> None:
    history = History()
    history.answered("Is it warm?", "", (ROUND[0],))
    history.answered(heard="Perhaps.")
    assert history.messages[1:] == (ROUND[0], Message("assistant", "Perhaps."))


def test_only_the_latest_messages_are_kept() -> None:
    history = History()
    for number in range(LONGEST):
        history.answered(f"question {number}", f"answer {number}")
    messages = history.prompt("")
    assert len(messages) == LONGEST
    assert messages[-1].text == f"answer {LONGEST - 1}"
    assert messages[0].text == f"question {LONGEST // 2}"


def test_no_result_is_kept_without_its_call() -> None:
    history = History()
    history.answered("Is it warm?", "Yes.", ROUND)
    for number in range(LONGEST // 2 - 1):
        history.answered(f"question {number}", f"answer {number}")
    assert history.messages[0] == Message("assistant", "Yes.")


def test_a_prompt_is_a_copy() -> None:
    history = History()
    history.answered("one")
    history.prompt("").clear()
    assert len(history.prompt("")) == 1
