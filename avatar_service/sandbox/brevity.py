"""How long a reply may be, in sentences.

The small model rambles and then repeats itself when nothing stops it, so a reply ends after ``DEFAULT_SENTENCES``.
Two things make it longer:

* The last user message asks for a number of sentences, in digits or words, from one to ten ("in three sentences",
  "4 short sentences"): the reply has exactly as many, unless the token limit comes first.
* The request's token limit is at least ``LONG_REPLY_TOKENS``: up to ``LONG_REPLY_SENTENCES``, fewer if the model stops.
"""

import re
from dataclasses import dataclass
from typing import Final

DEFAULT_SENTENCES: Final = 2
LONG_REPLY_SENTENCES: Final = 8
LONG_REPLY_TOKENS: Final = 256
"""Above the 150 tokens that chat clients often ask for without wanting a lecture."""
TOKENS_PER_SENTENCE: Final = 40
MAX_TOKENS: Final = 512

_NUMBERS: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ASKED: Final = re.compile(rf"\b({'|'.join(_NUMBERS)}|10|[1-9])\s+(?:(?!or\b)\w+\s+){{0,2}}sentences?\b", re.IGNORECASE)
_TITLES: Final = frozenset({"mr", "mrs", "ms", "dr", "prof", "st", "vs"})
_CLOSERS: Final = "\"'”\u2019)]"
_END: Final = re.compile(rf"[.!?…][{re.escape(_CLOSERS)}]*(?=\s)|\n+")


@dataclass(frozen=True, slots=True)
class ReplyLimit:
    """``sentences`` ends the reply; ``exact`` forbids the model to stop earlier; ``tokens`` ends it in any case."""

    sentences: int
    exact: bool
    tokens: int


def reply_limit(question: str, max_tokens: int | None) -> ReplyLimit:
    """Return the limit for the last user message and the request's own token limit."""
    asked = _ASKED.findall(question)
    if asked:
        number = asked[-1].lower()
        sentences = int(number) if number.isdigit() else _NUMBERS.index(number) + 1
    elif max_tokens is not None and max_tokens >= LONG_REPLY_TOKENS:
        sentences = LONG_REPLY_SENTENCES
    else:
        sentences = DEFAULT_SENTENCES
    tokens = min(MAX_TOKENS, (sentences + 1) * TOKENS_PER_SENTENCE)
    return ReplyLimit(sentences, bool(asked), min(tokens, max_tokens or tokens))


class SentenceCounter:
    """Takes a reply piece by piece and says where it has had its last sentence."""

    def __init__(self, sentences: int) -> None:
        self._left = sentences
        self._tail = ""

    def take(self, piece: str) -> tuple[str, bool]:
        """Return what of ``piece`` still belongs to the reply, and whether the reply is over.

        The end of a sentence shows only when white space follows, so the reply is over one piece after its last word.
        """
        offset = len(self._tail)
        text = self._tail + piece
        position = 0
        while match := _END.search(text, position):
            position = match.end()
            if not _ends_sentence(text, match.start()):
                continue
            self._left -= 1
            if self._left == 0:
                return text[offset : max(offset, match.end())].rstrip("\n"), True
        self._tail = text[position:]
        return piece, False


def _ends_sentence(text: str, at: int) -> bool:
    """Return False for the mark after a title, an initial or a list number, and for a line break after an end."""
    word = text[:at].rsplit(maxsplit=1)[-1] if text[:at].split() else ""
    if text[at] == "\n":
        return bool(word) and word[-1] not in ".!?…" + _CLOSERS
    if text[at] != ".":
        return True
    return bool(word) and word.lower() not in _TITLES and not word.isdigit() and not (len(word) == 1 and word.isupper())
