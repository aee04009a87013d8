"""The voice without a model: sentences, times, the same sound every time."""

import numpy as np
import pytest

from avatar_service.sandbox.hibari import RATE_HZ, Manner
from avatar_service.sandbox.tone import CHARACTER_S, LEVEL, ToneVoice


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hi.", ["Hi."]),
        ("One two. Three! Four", ["One two. ", "Three! ", "Four"]),
        (" It is 3.5 far... Yes?\n", [" It is 3.5 far... ", "Yes?\n"]),
        (" ", [" "]),
    ],
)
def test_sentences_hold_every_character(text: str, sentences: list[str]) -> None:
    assert [sentence.written for sentence in ToneVoice().read(text)] == sentences


def test_every_character_has_its_time_and_white_space_is_silent() -> None:
    (sentence,) = ToneVoice().read("Ab c.")

    speech = ToneVoice().speak(sentence, Manner())

    size = round(CHARACTER_S * RATE_HZ)
    assert len(speech.samples) == 5 * size
    assert speech.written.characters == tuple("Ab c.")
    assert speech.written.starts_s == pytest.approx([n * CHARACTER_S for n in range(5)])
    loud = [np.abs(speech.samples[n * size : (n + 1) * size]).max() for n in range(5)]
    assert loud == pytest.approx([LEVEL, LEVEL, 0.0, LEVEL, LEVEL], abs=0.01)


def test_white_space_before_the_text_takes_no_time() -> None:
    (sentence,) = ToneVoice().read("  Ab")

    speech = ToneVoice().speak(sentence, Manner())

    assert speech.written.starts_s == pytest.approx([0.0, 0.0, 0.0, CHARACTER_S])


def test_a_faster_manner_is_shorter_and_the_sound_is_always_the_same() -> None:
    (sentence,) = ToneVoice().read("Hello.")
    once, again, fast = (ToneVoice().speak(sentence, Manner(speed)) for speed in (1.0, 1.0, 1.2))

    assert np.array_equal(once.samples, again.samples)
    assert len(fast.samples) * 1.2 == pytest.approx(len(once.samples), rel=0.01)
