"""What was heard in a recording, and its segments: sentences with their times."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_PUNCTUATION: Final = ' .,!?;:"-'
"""Not part of a word in a list of words."""
_SENTENCE_ENDS: Final = (".", "!", "?")
_MAX_SENTENCE_S: Final = 10.0
"""A longer sentence is cut after a word, so that a subtitle can be read."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """How to listen.

    ``prompt`` is text that came before, ``keywords`` are words that may come; both only bend how words are spelled.
    A ``temperature`` above 0 draws tokens by chance. ``words`` aligns words with the audio.
    """

    prompt: str = ""
    keywords: tuple[str, ...] = ()
    temperature: float = 0.0
    words: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it stands in the text, white space before and marks after it, with its time in the audio in seconds.

    Its tokens come with their texts and the natural logarithms of their probabilities.
    """

    text: str
    start_s: float
    end_s: float
    tokens: tuple[int, ...] = ()
    token_texts: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()

    @property
    def bare(self) -> str:
        """The word alone; empty if there are only marks."""
        return self.text.strip(_PUNCTUATION)


@dataclass(frozen=True, slots=True)
class Segment:
    """What was said in a stretch of the audio."""

    text: str
    start_s: float
    end_s: float
    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    words: tuple[Word, ...]

    @property
    def compression_ratio(self) -> float:
        """How much shorter the text is when compressed; loops are above 2.4."""
        data = self.text.encode()
        return len(data) / len(zlib.compress(data))


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard in a whole recording."""

    duration_s: float
    windows: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(window.text for window in self.windows)

    @property
    def words(self) -> list[Word]:
        """The words, if they were aligned."""
        return [word for window in self.windows for word in window.words]

    @property
    def sentences(self) -> list[Segment]:
        """The segments, if words were aligned: one a sentence."""
        return [sentence for window in self.windows for sentence in _sentences(window)]


def _sentences(window: Segment) -> Iterator[Segment]:
    """Yield the sentences of a window."""
    start = 0
    for end, word in enumerate(window.words, 1):
        is_end = word.text.rstrip("\"' ").endswith(_SENTENCE_ENDS) or end == len(window.words)
        if is_end or word.end_s - window.words[start].start_s > _MAX_SENTENCE_S:
            yield _sentence(window, window.words[start:end])
            start = end


def _sentence(window: Segment, words: Sequence[Word]) -> Segment:
    logprobs = [logprob for word in words for logprob in word.logprobs]
    return Segment(
        text="".join(word.text for word in words),
        start_s=words[0].start_s,
        end_s=words[-1].end_s,
        tokens=tuple(token for word in words for token in word.tokens),
        avg_logprob=sum(logprobs) / len(logprobs) if logprobs else window.avg_logprob,
        no_speech_prob=window.no_speech_prob,
        words=tuple(words),
    )
