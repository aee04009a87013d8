"""A voice that training never heard: ``benchmarks/data/joe.*``, from the marks of its synthesis to our phonemes.

``joe.json`` has a line a sentence: its text, where it lies in ``joe.flac`` (16 kHz mono), and the marks of espeak's
alphabet with their seconds. The voice model puts a pad before every mark; a pad's time is the following mark's.
Measured over all sentences as in ``inference.training.voice``: with that, the high-frequency energy of sibilants fits
best 5 ms later and the low-frequency energy of vowels and the gaps of stops 5 ms earlier than the marks say, so the
constant offset is none.
"""

import json
from pathlib import Path

import miniaudio
import numpy as np
from numpy.typing import NDArray

from inference.config import SAMPLE_RATE_HZ
from inference.training.speech import Segment, finish_segment
from inference.training.voice import SILENCE, Phoneme, Speech, merge_marks

DATA = Path(__file__).parent / "data"
MARKS_FILE, SOUND_FILE = DATA / "joe.json", DATA / "joe.flac"
PAD = "_"
ENDS = frozenset("^$")  # before the first and after the last mark: silence
SYLLABIC = "̩"  # joins the consonant before it
PAIRS = {  # espeak writes two marks where hibari's alphabet has one
    "eɪ": "A",  # noqa: RUF001 - IPA
    "aɪ": "I",  # noqa: RUF001 - IPA
    "oʊ": "O",
    "aʊ": "W",
    "ɔɪ": "Y",
    "tʃ": "ʧ",
    "dʒ": "ʤ",
}


def phonemes_of(marks: list[tuple[str, float]]) -> tuple[Phoneme, ...]:
    """Contiguous phonemes of the training alphabet from espeak's marks and their seconds."""
    symbols: list[str] = []
    durations: list[float] = []
    pads = 0.0
    for symbol, seconds in marks:
        if symbol == PAD:
            pads += seconds
        elif symbols and symbols[-1] + symbol in PAIRS:
            symbols[-1] = PAIRS[symbols[-1] + symbol]
            durations[-1] += pads + seconds
            pads = 0.0
        elif symbol == SYLLABIC and symbols:
            durations[-1] += pads + seconds
            pads = 0.0
        else:
            symbols.append(SILENCE if symbol in ENDS else symbol)
            durations.append(pads + seconds)
            pads = 0.0
    durations[-1] += pads
    return merge_marks(symbols, durations)


def speeches(marks_file: Path = MARKS_FILE, sound_file: Path = SOUND_FILE) -> list[Speech]:
    """Every sentence with its phonemes."""
    decoded = miniaudio.decode_file(
        str(sound_file), output_format=miniaudio.SampleFormat.SIGNED16, nchannels=1, sample_rate=SAMPLE_RATE_HZ
    )
    sound: NDArray[np.float32] = np.frombuffer(decoded.samples, np.int16).astype(np.float32) / np.float32(32768)
    found = []
    for sentence in json.loads(marks_file.read_text(encoding="utf-8")):
        first = sentence["first_sample"]
        marks = [(str(symbol), float(seconds)) for symbol, seconds in sentence["marks"]]
        found.append(Speech(sound[first : first + sentence["samples"]], phonemes_of(marks)))
    return found


def held_out_voice() -> list[Segment]:
    """One segment a sentence, as clean as it was spoken."""
    rng = np.random.default_rng(13)
    return [finish_segment(speech, rng, augment=False) for speech in speeches()]
