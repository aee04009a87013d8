"""Words that sound as if more were to come, and words that only look so."""

import pytest

from avatar_service.engines.unfinished_words import UnfinishedWords

JUDGE = UnfinishedWords()

UNFINISHED = [
    "And then I",
    "I would like to.",
    "My name is...",
    "Well,",
    "Well, because the",
    "I think it\u2019s",
    "One, two and -",
    "I want a ticket from London to",
    "We could go on Monday or",
    "He called me because",
    "I think that",
    "It was late, so",
    "Um, I was, uh",
    "The capital of France is",
    "I'd like a glass of",
    "My number is five five.",
    "My phone number is 555 12",
    "The code is one two",
    "I'm looking for",
]
FINISHED = [
    "Yes.",
    "No",
    "How far is it to?",
    "Stop!",
    "I am tired.",
    # A word that often wants another, here at its end.
    "I think so.",
    "I hope so",
    "Who are you talking to",
    "I don't know where you come from",
    "What is it for",
    "I don't want to.",
    "I'd love to",
    "Tell me who it is",
    "I know where it is",
    "Yes, it is.",
    "I take vitamin A.",
    "She came with you and I",
    "I like that.",
    "Turn the light on",
    "Come in",
    "I saw her",
    "It was nice though",
    "Not really",
    "Uh-huh",
    # Numbers that are whole.
    "My phone number is five five five one two three four",
    "My phone number is 555-1234",
    "The code is 1234",
    "My lucky number is seven",
    "I have five",
    "My number is in the phone book",
]


@pytest.mark.parametrize("text", UNFINISHED)
def test_within_a_thought(text: str) -> None:
    assert not JUDGE.finished(text, "en-GB")


@pytest.mark.parametrize("text", ["", *FINISHED])
def test_at_its_end(text: str) -> None:
    assert JUDGE.finished(text, "en")


@pytest.mark.parametrize(
    ("text", "language"),
    [("Ich rufe dich an", "de"), ("Voglio il gelato a", "it"), ("J'ai de l'or", "fr"), ("Es, um", "pt-BR")],
)
def test_in_a_language_without_rules_every_pause_may_be_the_end(text: str, language: str) -> None:
    assert JUDGE.finished(text, language)


def test_a_language_that_is_not_told_is_found_from_the_words() -> None:
    assert not JUDGE.finished("I want a ticket from London to", "")
    assert JUDGE.finished("Tu veux de l'or", "")
    assert JUDGE.finished("Das ist, was er will, um", "")
