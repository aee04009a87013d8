"""When text that arrives in pieces is spoken."""

import pytest

from avatar_service.sandbox.text_buffer import TextBuffer, last_border

SENTENCE = "The sea is blue today. "


def test_text_waits_for_as_many_characters_as_the_schedule_says() -> None:
    buffer = TextBuffer([60, 90])
    assert buffer.add(SENTENCE) == ""
    assert buffer.add(SENTENCE) == ""
    assert buffer.add(SENTENCE) == SENTENCE * 3
    assert [buffer.add(SENTENCE) for _ in range(4)] == ["", "", "", SENTENCE * 4]
    assert [buffer.add(SENTENCE) for _ in range(4)] == ["", "", "", SENTENCE * 4], "the last length goes on"


def test_the_first_wait_is_120_characters_by_default() -> None:
    buffer = TextBuffer()
    assert buffer.add("x" * 118 + " ") == ""
    assert buffer.add("y ") != ""


def test_a_trigger_needs_50_characters() -> None:
    buffer = TextBuffer()
    assert buffer.add(SENTENCE, try_trigger=True) == ""
    assert buffer.add(SENTENCE * 2, try_trigger=True) == SENTENCE * 3


def test_what_is_spoken_ends_with_a_whole_sentence_and_the_rest_waits() -> None:
    buffer = TextBuffer([50])
    assert buffer.add(SENTENCE * 2 + "And the sky") == SENTENCE * 2
    assert buffer.flush() == "And the sky"
    assert buffer.flush() == ""


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ('He said "yes." And then', 'He said "yes." '),
        ("First this, then that and", "First this, "),
        ("no marks at al", "no marks at "),
        ("onelongword", ""),
        ("It is 3.5 km", "It is 3.5 "),
    ],
)
def test_a_border_is_a_sentence_else_a_clause_else_a_word(text: str, taken: str) -> None:
    assert text[: last_border(text)] == taken


def test_in_auto_mode_every_message_is_spoken() -> None:
    buffer = TextBuffer(auto=True)
    assert buffer.add("Hi there.") == "Hi there."


def test_the_blank_first_message_is_not_spoken() -> None:
    buffer = TextBuffer()
    buffer.add(" ")
    buffer.add("Hi. ")
    assert buffer.flush() == "Hi. "
