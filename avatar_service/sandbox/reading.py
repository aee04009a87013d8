"""How a text is read aloud: cut into sentences, and these into units that are pronounced one after another."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from avatar_service.sandbox.alignment import place

MAX_PHONEMES: Final = 400
"""The model was trained on sentences; what is longer is cut."""

_LONG_NUMBER: Final = re.compile(r"\d[\d,]{14,}")
_CLAUSE_ENDS: Final = (",", ";", ":", "—")


@dataclass(frozen=True, slots=True)
class Unit:
    """A word, a mark or a space as it is read, with its phonemes, which may be none."""

    text: str
    phonemes: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """What is spoken at once: the characters as written, where each is spoken in what is read, and the units."""

    written: str
    places: tuple[tuple[float, float], ...]
    units: tuple[Unit, ...]

    def before(self, unspoken: str) -> "Sentence":
        """Return the sentence with text behind it that takes no time."""
        end = float(len(self.read))
        return Sentence(self.written + unspoken, (*self.places, *[(end, end)] * len(unspoken)), self.units)

    def after(self, unspoken: str) -> "Sentence":
        """Return the sentence with text before it that takes no time."""
        return Sentence(unspoken + self.written, (*[(0.0, 0.0)] * len(unspoken), *self.places), self.units)

    @property
    def read(self) -> str:
        """The text as it is read."""
        return "".join(unit.text for unit in self.units)

    @property
    def phonemes(self) -> str:
        """The phonemes, one character each; empty when there is nothing to pronounce."""
        return "".join(unit.phonemes for unit in self.units)


class Reader:
    """hibari's rules of reading. Used by one thread at a time."""

    def __init__(self, model: Any, normalize: Any) -> None:
        self._model = model
        self._normalize = normalize

    def read(self, text: str) -> list[Sentence]:
        """Return the sentences of a text; together they hold its characters. At least one, for no text too.

        What cannot be pronounced belongs to the sentence before it, or after it if there is none, and takes no time.
        """
        sentences: list[Sentence] = []
        unspoken = ""
        for written in self._written(text):
            parts = list(self._parts(written))
            if parts:
                sentences += [parts[0].after(unspoken), *parts[1:]]
                unspoken = ""
            elif sentences:
                sentences[-1] = sentences[-1].before(written)
            else:
                unspoken += written
        return sentences or [Sentence(text, ((0.0, 0.0),) * len(text), ())]

    def _written(self, text: str) -> list[str]:
        """Return the text cut before each sentence but the first."""
        starts, position = [], 0
        for sentence in self._model.split_sentences(text):
            starts.append(text.index(sentence, position))
            position = starts[-1] + len(sentence)
        return [text[start:end] for start, end in pairwise([0, *starts[1:], len(text)])]

    def _parts(self, written: str) -> Iterator[Sentence]:
        """Yield the sentence, or its parts if it is too long; nothing if there is nothing to pronounce."""
        units = self._units(written)
        if not any(character.isalpha() for unit in units for character in unit.phonemes):
            return
        places = place(written, "".join(unit.text for unit in units))
        read_start, first = 0, 0
        for part in split_units(units):
            read_end = read_start + sum(len(unit.text) for unit in part)
            is_last = read_end == sum(len(unit.text) for unit in units)
            end = len(written) if is_last else sum(start < read_end for start, _ in places)
            yield Sentence(
                written[first:end],
                tuple((start - read_start, stop - read_start) for start, stop in places[first:end]),
                tuple(part),
            )
            read_start, first = read_end, end

    def _units(self, written: str) -> list[Unit]:
        """Return the units of a sentence, with phonemes of the model's alphabet only."""
        grapheme_to_phoneme, alphabet = self._model.g2p, self._model.vocab
        # Numbers that hibari has no words for are read digit by digit.
        countable = _LONG_NUMBER.sub(lambda number: " ".join(number.group().replace(",", "")), written)
        tokens = grapheme_to_phoneme.phonemize_tokens(grapheme_to_phoneme.tokenize(self._normalize(countable)))
        units = []
        for token in tokens:
            phonemes = "".join(character for character in token.phonemes or "" if character in alphabet)
            units.append(Unit(token.text, phonemes))
            if token.whitespace:
                units.append(Unit(" ", " "))
        return _without_outer_spaces(units)


def split_units(units: Sequence[Unit]) -> list[list[Unit]]:
    """Return the units in parts of at most ``MAX_PHONEMES``, cut after the last clause or, without one, word."""
    parts: list[list[Unit]] = []
    rest = list(units)
    while sum(len(unit.phonemes) for unit in rest) > MAX_PHONEMES:
        cut = _cut(rest)
        parts.append(rest[:cut])
        rest = rest[cut:]
    return [*parts, rest]


def _cut(units: Sequence[Unit]) -> int:
    """Return how many units make the next part."""
    phonemes, clause, word = 0, 0, 0
    for number, unit in enumerate(units):
        phonemes += len(unit.phonemes)
        if phonemes > MAX_PHONEMES:
            return clause or word or number + 1
        if unit.text == " ":
            word = number + 1
            if number and units[number - 1].phonemes.endswith(_CLAUSE_ENDS):
                clause = number + 1
    return len(units)


def _without_outer_spaces(units: list[Unit]) -> list[Unit]:
    """Take the phonemes from spaces before the first and after the last sound."""
    sounding = [number for number, unit in enumerate(units) if unit.phonemes.strip()]
    if not sounding:
        return [Unit(unit.text, "") for unit in units]
    return [unit if sounding[0] <= number <= sounding[-1] else Unit(unit.text, "") for number, unit in enumerate(units)]
