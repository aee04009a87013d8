"""The held-out voice: its marks become the phonemes of training, and they fit its sound."""

import itertools

import numpy as np
import pytest

from benchmarks.held_out_voice import DATA, held_out_voice, phonemes_of, speeches
from inference.config import FRAME_SAMPLES, SAMPLE_RATE_HZ
from inference.training.mouth import DIPHTHONGS, TARGETS
from inference.training.quality import closures, silent_frames
from inference.training.voice import SILENCE, Phoneme, Speech

MOST_BYTES = 1_500_000
SENTENCES = 20


@pytest.fixture(scope="module")
def spoken() -> list[Speech]:
    return speeches()


def marks(text: str, seconds: float = 0.1) -> list[tuple[str, float]]:
    """Every mark as long, with a pad of 10 ms before it, as the voice model gives them."""
    return [pair for symbol in text for pair in (("_", 0.01), (symbol, seconds))]


def symbols(phonemes: tuple[Phoneme, ...]) -> str:
    return "".join(phoneme.symbol for phoneme in phonemes)


def test_two_marks_of_one_sound_become_one_phoneme() -> None:
    assert symbols(phonemes_of(marks("^dʒˈeɪn$"))) == "_ʤAn_"
    assert symbols(phonemes_of(marks("^tʃaʊɔɪoʊaɪ$"))) == "_ʧWYOI_"


def test_length_syllable_and_stress_marks_belong_to_their_sound() -> None:
    phonemes = phonemes_of(marks("^bˈʌʔn̩iː$"))
    assert symbols(phonemes) == "_bʌʔni_"
    assert [round(p.end - p.start, 2) for p in phonemes] == [0.11, 0.11, 0.22, 0.11, 0.22, 0.22, 0.11]


def test_a_pad_s_time_is_the_following_mark_s_and_none_is_lost() -> None:
    phonemes = phonemes_of([("^", 0.1), ("_", 0.02), ("m", 0.1), ("_", 0.03), ("$", 0.1), ("_", 0.04)])
    assert [(p.symbol, round(p.start, 2), round(p.end, 2)) for p in phonemes] == [
        (SILENCE, 0.0, 0.1),
        ("m", 0.1, 0.22),
        (SILENCE, 0.22, 0.39),
    ]


def test_every_sound_has_a_mouth_and_covers_its_sentence(spoken: list[Speech]) -> None:
    assert len(spoken) == SENTENCES
    for speech in spoken:
        assert {p.symbol for p in speech.phonemes} <= TARGETS.keys() | DIPHTHONGS.keys()
        assert all(a.end == b.start for a, b in itertools.pairwise(speech.phonemes))
        assert speech.phonemes[0].symbol == speech.phonemes[-1].symbol == SILENCE
        assert speech.phonemes[-1].end == pytest.approx(speech.duration, abs=0.002)


def test_sibilants_hiss_and_vowels_do_not(spoken: list[Speech]) -> None:
    """A wrong offset of the marks by two frames fails here."""

    def hiss(symbols: str) -> float:
        """The median share of energy above 4 kHz in the middle 40 ms of these sounds."""
        found = []
        for speech in spoken:
            for phoneme in speech.phonemes:
                middle = int((phoneme.start + phoneme.end) / 2 * SAMPLE_RATE_HZ)
                part = speech.samples[max(0, middle - 320) : middle + 320]
                if phoneme.symbol in symbols and len(part) == 640:
                    power = np.abs(np.fft.rfft(part * np.hanning(640))) ** 2
                    found.append(float(power[160:].sum() / power.sum()))
        return float(np.median(found))

    assert hiss("sʃ") > 0.3
    assert hiss("ɑæiɛʌAOI") < 0.05


def test_its_segments_have_closures_and_silences_and_whole_frames() -> None:
    segments = held_out_voice()
    assert sum(len(closures(segment)) for segment in segments) > 50
    assert sum(len(silent_frames(segment)) for segment in segments) > 150
    for segment in segments:
        assert len(segment.samples) == len(segment.truth) * FRAME_SAMPLES


def test_the_fixture_is_small_and_says_where_it_is_from() -> None:
    assert sum(path.stat().st_size for path in DATA.iterdir()) < MOST_BYTES
    origin = (DATA / "README.md").read_text()
    assert "CC0" in origin
    assert "joe" in origin
