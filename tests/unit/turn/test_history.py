"""The conversation as the chat model is told it."""

from avatar_service.engines.base import Message
from avatar_service.turn.history import LONGEST, History

USER, ASSISTANT = "user", "assistant"


def test_it_begins_with_the_system_prompt_and_what_was_said_before() -> None:
    before = (Message("user", "Hi."), Message("assistant", "Hello."))
    assert History(before).prompt("Be brief.") == [Message("system", "Be brief."), *before]
    assert History(before).prompt("") == list(before)


def test_what_the_user_said_and_heard_follows_in_order() -> None:
    history = History()
    history.add_user("How far?")
    history.add_heard("Near.")
    history.add_user("Really?")
    assert history.prompt("") == [
        Message("user", "How far?"),
        Message("assistant", "Near."),
        Message("user", "Really?"),
    ]


def test_a_reply_of_which_nothing_was_heard_leaves_nothing_and_the_questions_are_joined() -> None:
    history = History()
    history.add_user("How far")
    history.add_heard("")
    history.add_user("is the moon?")
    assert history.prompt("") == [Message("user", "How far is the moon?")]


def test_only_the_latest_messages_are_kept() -> None:
    history = History()
    for number in range(LONGEST):
        history.add_user(f"question {number}")
        history.add_heard(f"answer {number}")
    messages = history.prompt("")
    assert len(messages) == LONGEST
    assert messages[-1].text == f"answer {LONGEST - 1}"
    assert messages[0].text == f"question {LONGEST // 2}"


def test_a_prompt_is_a_copy() -> None:
    history = History()
    history.add_user("one")
    history.prompt("").clear()
    assert len(history.prompt("")) == 1
