"""Which words of a reply were heard, from where each sentence lies in the turn's media."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpokenSentence:
    """A sentence and where its voice lies, in seconds from the turn's first sample."""

    text: str
    start_s: float
    end_s: float


SECONDS_PER_CHARACTER = 1 / 15
"""Usual pace of English speech, pauses included; holds only until a sentence's voice is there."""


def estimated(text: str, start_s: float) -> SpokenSentence:
    """A sentence whose voice has only begun to come."""
    return SpokenSentence(text, start_s, start_s + len(text) * SECONDS_PER_CHARACTER)


def heard_text(spoken: Sequence[SpokenSentence], position_s: float) -> str:
    """The words that were over at `position_s`. Inside a sentence the time is shared out by characters, an estimate."""
    heard: list[str] = []
    for sentence in spoken:
        if sentence.end_s <= position_s:
            heard.append(sentence.text)
            continue
        share = (position_s - sentence.start_s) / (sentence.end_s - sentence.start_s)
        characters = int(len(sentence.text) * max(0.0, share))
        words = sentence.text[: characters + 1].rpartition(" ")[0]
        heard += [words] if words else []
        break
    return " ".join(heard)
