"""Text as it is written to sentences as they are spoken."""

import re

from avatar_service.channel import Channel

_CLOSERS = "\"'\u201d\u2019\u300d\u300f\uff09)\\]"
_END = re.compile(rf"(?:[.!?\u2026]+[{_CLOSERS}]*|\n+)(?=\s|$)|[\u3002\uff01\uff1f]+[{_CLOSERS}]*")
"""A sentence ends at these marks and what closes after them; Latin ones want white space to follow, CJK ones do not."""

_ABBREVIATIONS = frozenset("mr mrs ms dr prof sr jr st vs e.g i.e approx inc ltd u.s u.k".split())
_LAST_WORD = re.compile(r"([\w.]+)\.$")
_INITIAL = re.compile(r"(?:^|\s)[A-Z]\.$")


class SentenceSplitter:
    """Cuts a growing text into whole sentences; joined with spaces they are the text again."""

    def __init__(self) -> None:
        self._text = ""

    def push(self, delta: str) -> list[str]:
        """Add text; return the sentences that it completed.

        A mark at the very end of the text waits for what follows: "3." may become "3.5".
        """
        self._text += delta
        sentences: list[str] = []
        start = 0
        for match in _END.finditer(self._text):
            if match.end() == len(self._text):
                break
            candidate = self._text[start : match.end()].strip()
            if candidate and not _goes_on(candidate):
                sentences.append(candidate)
                start = match.end()
        self._text = self._text[start:]
        return sentences

    def flush(self) -> list[str]:
        """Return what is left."""
        rest, self._text = self._text.strip(), ""
        return [rest] if rest else []


def _goes_on(candidate: str) -> bool:
    """Whether the full stop at the end belongs to an abbreviation, an initial or a list number."""
    if _INITIAL.search(candidate) or re.fullmatch(r"\d+\.", candidate):
        return True
    last_word = _LAST_WORD.search(candidate)
    return last_word is not None and last_word[1].lower() in _ABBREVIATIONS


async def split(deltas: Channel[str], sentences: Channel[str]) -> None:
    """Send each sentence on as soon as it is complete."""
    splitter = SentenceSplitter()
    try:
        async for delta in deltas:
            for sentence in splitter.push(delta):
                await sentences.send(sentence)
        for sentence in splitter.flush():
            await sentences.send(sentence)
    finally:
        sentences.close()
