"""When each character of a text is heard.

Text is spoken as it is read aloud: "Dr. Lee" becomes "Doctor Lee". Times are known for the characters that are read;
``place`` carries them to those that were written.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Final

import numpy as np

_WORDS: Final = re.compile(r"\s+|\S+")


@dataclass(frozen=True, slots=True)
class Alignment:
    """Characters and the seconds between which each is heard; times never fall."""

    characters: tuple[str, ...] = ()
    starts_s: tuple[float, ...] = ()
    ends_s: tuple[float, ...] = ()

    def scaled(self, factor: float, begin_s: float) -> "Alignment":
        """Return it with all times multiplied and then moved later."""
        return Alignment(
            self.characters,
            tuple(begin_s + factor * start_s for start_s in self.starts_s),
            tuple(begin_s + factor * end_s for end_s in self.ends_s),
        )

    def starting_between(self, start_s: float, end_s: float) -> "Alignment":
        """Return the characters whose beginning lies in [start_s, end_s)."""
        first, end = (int(np.searchsorted(self.starts_s, time_s)) for time_s in (start_s, end_s))
        return Alignment(self.characters[first:end], self.starts_s[first:end], self.ends_s[first:end])

    def __add__(self, later: "Alignment") -> "Alignment":
        """Return this one followed by another."""
        return Alignment(self.characters + later.characters, self.starts_s + later.starts_s, self.ends_s + later.ends_s)


def place(written: str, read: str) -> list[tuple[float, float]]:
    """Return, for each character of ``written``, from where to where in ``read`` it is spoken, in characters.

    Words that are the same are placed character by character; the characters of words that are read differently share
    the time of what is read in their place, which may be none. Places follow each other and never fall.
    """
    ours, theirs = _WORDS.findall(written), _WORDS.findall(read)
    positions = np.cumsum([0, *map(len, theirs)])
    matcher = SequenceMatcher(None, [_key(word) for word in ours], [_key(word) for word in theirs], autojunk=False)
    places: list[tuple[float, float]] = []
    for _, first, end, read_first, read_end in matcher.get_opcodes():
        if end - first == read_end - read_first:
            for word, at, until in zip(
                ours[first:end], positions[read_first:], positions[read_first + 1 :], strict=False
            ):
                places += share(len(word), int(at), int(until))
        else:
            characters = sum(map(len, ours[first:end]))
            places += share(characters, int(positions[read_first]), int(positions[read_end]))
    return places


def align(characters: str, places: Sequence[tuple[float, float]], bounds_s: Sequence[float]) -> Alignment:
    """Return when characters at ``places`` in a read text are heard; its character i lasts from bound i to i + 1."""
    positions = np.arange(len(bounds_s))
    starts, ends = (np.interp([place[side] for place in places], positions, bounds_s) for side in (0, 1))
    return Alignment(tuple(characters), tuple(starts.tolist()), tuple(ends.tolist()))


def _key(word: str) -> str:
    return " " if word.isspace() else word


def share(characters: int, start: int, end: int) -> list[tuple[float, float]]:
    """Return the places of characters that share a span equally."""
    cuts = np.linspace(start, end, characters + 1).tolist()
    return list(pairwise(cuts)) if characters else []
