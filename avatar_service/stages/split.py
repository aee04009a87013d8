"""Text as it is written to the pieces in which it is spoken: sentences, and at the beginning of a reply a clause.

A piece is cut off as soon as the text shows that it is over, however the text arrived. Pieces are the whole text in
order, without the white space around them: what stood between two of them was white space, or nothing in scripts that
write none.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from avatar_service.channel import Channel
from avatar_service.stages.sentence_ends import (
    CLAUSE_MARKS,
    CLOSERS,
    ends_clause,
    ends_line,
    ends_sentence,
    spoken_size,
)

CLAUSE_CHARACTERS = 18
"""Shortest beginning of a reply that is spoken before its sentence is whole: 1.2 s of speech, in which the next piece
is written and its voice begins. "Well," alone would be followed by a silence."""
LONGEST_CHARACTERS = 300
"""Longest piece, about 20 s of speech. Who writes without a stop must not be waited for; the vendor takes 5,000."""

_STOPS = "." + "!?\u2026\u061f\u06d4\u0964\u0965\u1362\u0589" + "\u3002\uff01\uff1f\uff61\u104b\u17d4"
_MARK = re.compile(
    rf"(?P<stop>[{_STOPS}]+[{re.escape(CLOSERS)}]*)|(?P<line>[\n\u2028\u2029])|(?P<clause>{CLAUSE_MARKS})"
)
_SPACE = re.compile(r"\s+")
_CUT = re.compile(rf"{CLAUSE_MARKS}(?=\s)|[\uff0c\u3001\uff1b\uff1a]")
_JOINER = "\u200d"
_ENDS = re.compile(rf"(?:[{_STOPS}][{re.escape(CLOSERS)}]*|[\n\u2028\u2029])\Z")
_ENDS_NUMBER = re.compile(r"\d\.\Z")
_FOLLOWING = " A "
"""Shows that a mark at the end of a text ends a sentence."""


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """Between two pieces of text: what is before it broke off, and is not spoken beyond its last whole sentence."""


BROKEN_OFF: Final = BrokenOff()
Delta = str | BrokenOff


class SentenceSplitter:
    """Cuts a growing text into pieces."""

    def __init__(self) -> None:
        self._text = ""
        self._start = 0
        self._sent = 0
        """Size of the pieces that were cut off so far."""
        self.has_sentence = False
        """Whether one of them ends a sentence."""

    @property
    def rest(self) -> str:
        """What is not cut off yet."""
        return self._text

    def push(self, delta: str) -> list[str]:
        """Add text; return the pieces that it completed.

        A mark at the very end of the text waits for what follows: "3." may become "3.5".
        """
        self._text += delta
        return self._pieces(final=False)

    def flush(self) -> list[str]:
        """Return what is left."""
        pieces = self._pieces(final=True)
        rest, self._text = self._text.strip(), ""
        return [*pieces, rest] if rest else pieces

    def break_off(self) -> list[str]:
        """The text breaks off here: return the sentences that are whole, and leave the fragment behind them in `rest`.

        A number with its full stop may be half of a number.
        """
        text = self._text.rstrip()
        if not _ENDS.search(text) or _ENDS_NUMBER.search(text):
            return []
        pieces = self.push(_FOLLOWING)
        self._text = self._text[: -len(_FOLLOWING)]
        return pieces

    def _pieces(self, *, final: bool) -> list[str]:
        pieces: list[str] = []
        self._skip_space()
        while (end := self._end(final)) is not None:
            piece = self._text[self._start : end].rstrip()
            pieces.append(piece)
            self._sent += spoken_size(piece)
            self.has_sentence = self.has_sentence or _ENDS.search(self._text[self._start : end]) is not None
            self._start = end
            self._skip_space()
        self._text, self._start = self._text[self._start :], 0
        return pieces

    def _skip_space(self) -> None:
        while self._start < len(self._text) and self._text[self._start].isspace():
            self._start += 1

    def _end(self, final: bool) -> int | None:
        """Where the next piece ends; None if that is not known yet."""
        text, start, longest = self._text, self._start, self._start + LONGEST_CHARACTERS
        for mark in _MARK.finditer(text, start):
            if mark.end() > longest:
                break
            ends = self._ends(mark, final)
            if ends is None:
                return None
            if ends:
                return mark.end()
        return _cut(text, start, longest) if len(text) > longest else None

    def _ends(self, mark: re.Match[str], final: bool) -> bool | None:
        """Whether a piece ends with a mark; None if what follows it decides and is not there yet."""
        text, start = self._text, self._start
        if not any(character.isalnum() for character in text[start : mark.start()]):
            return False
        if mark["line"]:
            return ends_line(text, start, mark.start())
        if mark.end() == len(text):
            return False if final else None
        if mark["stop"]:
            return ends_sentence(text, start, mark, final=final)
        if self._sent >= CLAUSE_CHARACTERS or spoken_size(text[start : mark.start()]) < CLAUSE_CHARACTERS:
            return False
        return ends_clause(text, start, mark, final=final)


def _cut(text: str, start: int, longest: int) -> int:
    """Where to cut a text that does not stop: at its last clause, at its last space, or between two characters."""
    clauses = [mark.end() for mark in _CUT.finditer(text, (start + longest) // 2, longest)]
    if clauses:
        return clauses[-1]
    spaces = [space.start() for space in _SPACE.finditer(text, start, longest)]
    if spaces:
        return spaces[-1]
    end = longest
    while end > start + 1 and (
        unicodedata.category(text[end]).startswith("M") or _JOINER in (text[end], text[end - 1])
    ):
        end -= 1
    return end if end > start + 1 else longest


def fragment_of(text: str) -> tuple[int, bool]:
    """Where in a text that broke off its fragment begins, and whether a whole sentence stands before that."""
    splitter = SentenceSplitter()
    splitter.push(text)
    splitter.break_off()
    return len(text) - len(splitter.rest), splitter.has_sentence


async def split(deltas: Channel[Delta], sentences: Channel[str]) -> None:
    """Send each piece on as soon as it is complete."""
    splitter = SentenceSplitter()
    try:
        async for delta in deltas:
            for sentence in splitter.break_off() if isinstance(delta, BrokenOff) else splitter.push(delta):
                await sentences.send(sentence)
            if isinstance(delta, BrokenOff):
                splitter = SentenceSplitter()
        for sentence in splitter.flush():
            await sentences.send(sentence)
    finally:
        sentences.close()
