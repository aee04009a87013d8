"""Which words of a reply were heard."""

import pytest

from avatar_service.media.heard import SpokenSentence, heard_text

SPOKEN = (SpokenSentence("The moon is near.", 0.0, 2.0), SpokenSentence("It is round.", 2.0, 3.0))


@pytest.mark.parametrize(
    ("position_s", "heard"),
    [
        (0.0, ""),
        (0.2, ""),
        (0.5, "The"),
        (1.0, "The moon"),
        (1.9, "The moon is"),
        (2.0, "The moon is near."),
        (2.5, "The moon is near. It is"),
        (3.0, "The moon is near. It is round."),
        (9.0, "The moon is near. It is round."),
    ],
)
def test_words_whose_end_was_played_are_heard(position_s: float, heard: str) -> None:
    assert heard_text(SPOKEN, position_s) == heard


def test_of_nothing_spoken_nothing_is_heard() -> None:
    assert heard_text((), 5.0) == ""


def test_what_is_heard_only_grows_and_is_always_whole_words_of_the_reply() -> None:
    whole = " ".join(sentence.text for sentence in SPOKEN).split()
    before: list[str] = []
    for step in range(400):
        words = heard_text(SPOKEN, step / 100).split()
        assert words == whole[: len(words)]
        assert len(words) >= len(before)
        before = words


def test_a_sentence_without_any_voice_is_heard_with_what_stands_before_it() -> None:
    spoken = (*SPOKEN, SpokenSentence("…", 3.0, 3.0))
    assert heard_text(spoken, 2.9) == "The moon is near. It is"
    assert heard_text(spoken, 3.0) == "The moon is near. It is round. …"
