"""When text that arrives in pieces is spoken.

ElevenLabs's rule: text waits until there are as many characters as the schedule says for the next generation;
``try_trigger_generation`` lowers that to ``MIN_TRIGGER_CHARS``, ``flush`` takes all there is, and in auto mode every
message is spoken as it comes. What is taken ends after the last sentence, or clause, or word, in this order: the small
model speaks a cut sentence as if it were a whole one.
"""

import re
from collections.abc import Sequence
from typing import Final

DEFAULT_SCHEDULE: Final = (120, 160, 250, 290)
MIN_TRIGGER_CHARS: Final = 50

_CLOSERS: Final = "[\"'\u201d\u2019)\\]]*"
_BORDERS: Final = (re.compile(rf"[.!?…]{_CLOSERS}\s+"), re.compile(rf"[,;:—]{_CLOSERS}\s+"), re.compile(r"\s+"))
"""Ends of sentences, of clauses, of words."""


class TextBuffer:
    """Text that waits to be spoken."""

    def __init__(self, schedule: Sequence[float] = DEFAULT_SCHEDULE, *, auto: bool = False) -> None:
        self._schedule = schedule
        self._auto = auto
        self._generations = 0
        self._text = ""

    def __len__(self) -> int:
        return len(self._text)

    def add(self, text: str, *, try_trigger: bool = False) -> str:
        """Take a piece of text in and return what is to be spoken, which may be nothing."""
        if not self._text:
            text = text.lstrip()
        self._text += text
        if self._auto:
            return self.flush()
        wanted = self._schedule[min(self._generations, len(self._schedule) - 1)]
        if try_trigger:
            wanted = min(wanted, MIN_TRIGGER_CHARS)
        return self._take(last_border(self._text)) if len(self._text) >= wanted else ""

    def flush(self) -> str:
        """Return all text that waits."""
        return self._take(len(self._text))

    def _take(self, end: int) -> str:
        taken, self._text = self._text[:end], self._text[end:]
        self._generations += bool(taken)
        return taken


def last_border(text: str) -> int:
    """Return where the last whole sentence ends, without one the last clause, without one the last word; else 0."""
    for border in _BORDERS:
        if ends := [match.end() for match in border.finditer(text)]:
            return ends[-1]
    return 0
