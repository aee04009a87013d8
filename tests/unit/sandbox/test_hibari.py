"""The voice itself: how it reads, and that what it says is where it says it is."""

import re

import numpy as np
import pytest

from avatar_service.sandbox.alignment import Alignment
from avatar_service.sandbox.audio import Samples
from avatar_service.sandbox.hibari import RATE_HZ, HibariVoice, Manner
from avatar_service.sandbox.reading import MAX_PHONEMES, Unit, split_units


@pytest.fixture(scope="module")
def voice() -> HibariVoice:
    return HibariVoice.load()


TEXTS = [
    "The capital of France is Paris. It is known for art, fashion, and culture.",
    '  Dr. Lee paid $9.99 at 5:30 pm for 5 km...  Wow! "Really?" ',
    "... 2024 was hot.\n\nYes \u2014 it's 30\u00b0C & co-op. \U0001f600",
    "...",
    "",
    "one two, " * 300,
    "word " * 300,
    "Hi. Hi. Hi.",
    "kA\u200d\n}[\u8a9e\u0301",
    "\u65e5\u672c\u8a9e\nYes. \u65e5\u672c\u8a9e",
    "9" * 200 + " and 1,000,000,000,000,000,000,000",
    "caf\u00e9 na\u00efve [x](/ks/) <b> \u65e5\u672c",
]


@pytest.mark.parametrize("text", TEXTS)
def test_sentences_hold_every_character_and_are_not_too_long(voice: HibariVoice, text: str) -> None:
    sentences = voice.read(text)
    assert "".join(sentence.written for sentence in sentences) == text
    for sentence in sentences:
        assert len(sentence.phonemes) <= MAX_PHONEMES
        assert len(sentence.places) == len(sentence.written)


def test_sentences_are_cut_after_their_white_space(voice: HibariVoice) -> None:
    assert [sentence.written for sentence in voice.read(" Hi. Hi!  Dr. Bo? ")] == [" Hi. ", "Hi!  ", "Dr. Bo? "]


@pytest.mark.parametrize("text", [*TEXTS[:4], *TEXTS[7:10]])
def test_times_never_fall_and_lie_in_the_speech(voice: HibariVoice, text: str) -> None:
    for sentence in voice.read(text):
        speech = voice.speak(sentence, Manner())
        for alignment in (speech.written, speech.read):
            times = [time for span in zip(alignment.starts_s, alignment.ends_s, strict=True) for time in span]
            assert times == sorted(times)
            assert times[-1] <= len(speech.samples) / RATE_HZ + 1e-6
        assert "".join(speech.written.characters) == sentence.written
        assert "".join(speech.read.characters).rstrip() == (sentence.read or sentence.written)


def words(alignment: Alignment) -> list[tuple[str, float, float]]:
    text = "".join(alignment.characters)
    return [
        (match.group(), alignment.starts_s[match.start()], alignment.ends_s[match.end() - 1])
        for match in re.finditer(r"\w+", text)
    ]


def test_words_before_a_pause_end_where_the_sound_does(voice: HibariVoice) -> None:
    (sentence,) = voice.read("We need bread, milk, apples, tea, and cake.")
    speech = voice.speak(sentence, Manner())
    level = np.sqrt(np.convolve(np.square(speech.samples), np.full(480, 1 / 480), "same"))  # over 20 ms
    for word, start_s, end_s in words(speech.written):
        if word in ("bread", "milk", "apples"):
            inside = level[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)].max()
            around = level[round((end_s - 0.05) * RATE_HZ) : round((end_s + 0.05) * RATE_HZ)].min()
            assert around < 0.1 * inside, word
    last_s = words(speech.written)[-1][2]
    assert level[round(last_s * RATE_HZ) :].max() < 0.01 * level.max(), "nothing is heard after the last word"
    assert words(speech.written)[0][1] == pytest.approx(0.05, abs=0.05), "50 ms of silence are left before a sentence"


def test_the_same_arguments_give_the_same_samples(voice: HibariVoice) -> None:
    (sentence,) = voice.read("Hello.")
    assert np.array_equal(voice.speak(sentence, Manner()).samples, voice.speak(sentence, Manner()).samples)


def test_speed_and_intonation(voice: HibariVoice) -> None:
    (sentence,) = voice.read("We are all aware of your aim.")
    usual, fast = voice.speak(sentence, Manner()), voice.speak(sentence, Manner(speed=1.2))
    assert len(fast.samples) < 0.93 * len(usual.samples)
    low = voice.speak(sentence, Manner(intonation=0.8))
    assert pitch_hz(low.samples) == pytest.approx(0.8 * pitch_hz(usual.samples), rel=0.1)
    assert len(low.samples) == pytest.approx(len(usual.samples), abs=0.05 * RATE_HZ)


def pitch_hz(samples: Samples) -> float:
    """The median of the strongest periods between 80 and 400 Hz of the loud 40 ms."""
    found = []
    for start in range(0, len(samples) - 960, 480):
        window = samples[start : start + 960].astype(np.float64)
        if np.square(window).mean() > 1e-3:
            correlation = np.correlate(window, window, "full")[959:]
            found.append(RATE_HZ / (60 + int(np.argmax(correlation[60:300]))))
    return float(np.median(found))


def test_a_text_without_words_is_a_short_silence(voice: HibariVoice) -> None:
    (sentence,) = voice.read("...")
    speech = voice.speak(sentence, Manner())
    assert not speech.samples.any()
    assert len(speech.samples) == round(0.2 * RATE_HZ)


def test_long_sentences_are_cut_after_clauses() -> None:
    clause = [Unit("x" * 100, "x" * 100), Unit(",", ","), Unit(" ", " ")]
    parts = split_units(clause * 6)
    assert [len(part) for part in parts] == [9, 9]
    words_only = split_units([Unit("x" * 100, "x" * 100), Unit(" ", " ")] * 6)
    assert [len(part) for part in words_only] == [6, 6]
