"""The words of a turn, when each is heard, and which were heard at a position.

Scripts that write no spaces are counted by character, since no rule of this size finds their words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from avatar_service.media.types import SpokenCharacter

SECONDS_PER_CHARACTER = 1 / 15
"""Usual pace of English speech, pauses included; holds only until a sentence's voice is there."""
CUT_OFF_S = 0.05
"""How much of a word's end may be missing where a voice breaks off for the word to count as spoken."""
CAREFUL = 1.25
"""By how much slower than estimated a voice without times is taken to be where it breaks off: paces of voices differ by
about a fifth, and a word that is heard twice is better than one that is left out."""
_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"  # CJK
)
_MARKS = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u17b4-\u17d3"
"""Vowels and tones of these scripts that stand on the letter before."""
_OPENERS = "\u201c\u2018\u00ab\u300c\u300e\uff08\u300a\u3008\u3010\u3014(\\[{"
_WORD = re.compile(
    rf"[{_OPENERS}]*[{_UNSPACED}][{_MARKS}]*[^\w\s{_OPENERS}]*\s*"
    rf"|(?:(?![{_OPENERS}]+[{_UNSPACED}])[^\s{_UNSPACED}])+\s*|\s+"
)
_ENDS_UNSPACED = re.compile(rf"[{_UNSPACED}\u3000-\u303f\uff00-\uffef][\"'\u201d\u2019\u00bb)\]*_]*$")


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word with the space that follows it, and when it is heard, in seconds from the turn's first sample."""

    text: str
    start_s: float
    end_s: float
    estimated: bool


@dataclass(frozen=True, slots=True)
class Heard:
    """A reply cut at a position: the words that were over, all that follows of what was begun to be spoken, and whether
    the place of the cut is an estimate."""

    text: str
    rest: str
    estimated: bool


def words_of(sentence: str) -> list[str]:
    """The words of a sentence, each with its marks and the space that follows; joined they are the sentence again."""
    return _WORD.findall(sentence)


class Spoken:
    """What a turn says, as its voice comes: sentence after sentence, `begin`, `align`, `end`.

    Words follow each other: none begins before the one before it has ended, whatever times an engine tells.
    """

    def __init__(self, sentences: Sequence[str] = (), words: Sequence[SpokenWord] = ()) -> None:
        """Both are given where what another turn has spoken is looked at again."""
        self.sentences = list(sentences)
        """All that were begun."""
        self._known = list(words)
        self._sentence_from = len(self._known)
        """How many words there were before the current sentence."""
        self._sentence_start_s = 0.0
        self._waiting: list[str] = []
        self._aligned = 0
        """How many characters of the first word that waits have their times."""
        self._start_s = 0.0
        self._word_start_s: float | None = None
        self._has_times = False
        self._voiced_s = 0.0
        self._voiced_characters = 0
        """How long the voice of the sentences that are over was, and how many characters they have."""

    def begin(self, sentence: str, start_s: float) -> None:
        """The voice of `sentence` begins at `start_s`."""
        self.sentences.append(sentence)
        spaced = sentence if _ENDS_UNSPACED.search(sentence) else f"{sentence} "
        self._sentence_from, self._sentence_start_s = len(self._known), start_s
        self._wait_for(words_of(spaced), start_s)

    def align(self, characters: Sequence[SpokenCharacter]) -> None:
        """Take in the times of the sentence's next characters; one that is not in it is passed over."""
        for character in characters:
            self._has_times = True
            for text in character.text:
                self._align(text, self._start_s + character.start_s, self._start_s + character.end_s)

    def end(self, end_s: float) -> None:
        """The voice of the sentence ends at `end_s`: words whose times did not come share what is left."""
        own = self._known[self._sentence_from :]
        own = [replace(word, start_s=min(word.start_s, end_s), end_s=min(word.end_s, end_s)) for word in own]
        before_s = self._known[self._sentence_from - 1].end_s if self._sentence_from else 0.0
        if end_s >= before_s:  # else the sentence has no voice of its own
            self._known[self._sentence_from :] = own
        self._known += self._spread(end_s)
        self._waiting = []
        if end_s > self._sentence_start_s:
            self._voiced_s += end_s - self._sentence_start_s
            self._voiced_characters += sum(len(word.text) for word in self._known[self._sentence_from :])

    def whole_s(self, at_s: float) -> float:
        """Up to where a voice that has come up to `at_s` holds whole words, as far as it brings times."""
        ends_s = [word.end_s for word in self._known[self._sentence_from :]]
        if not self._has_times or (not self._waiting and ends_s[-1] <= at_s):
            return at_s
        return min(at_s, max((end_s for end_s in ends_s if end_s <= at_s + CUT_OFF_S), default=self._start_s))

    def break_off(self, at_s: float) -> str:
        """The voice broke off at `at_s`. Returns the words that were not spoken, whose voice is to go on there.

        Without times that is estimated; the last word counts as not spoken, unless the voice did not end where it must.
        """
        if self._has_times:
            self._forget(at_s)
        else:
            self._take_estimated(at_s)
        self._wait_for(self._waiting, at_s)
        return "".join(self._waiting).strip()

    def lose(self, at_s: float) -> None:
        """The voice broke off at `at_s`, and none will come any more: the words without one will not be heard."""
        self.break_off(at_s)
        self._waiting = []
        self._known = [replace(word, end_s=min(word.end_s, max(word.start_s, at_s))) for word in self._known]

    @property
    def words(self) -> list[SpokenWord]:
        """All words that were begun, in order; those whose voice is not there yet are estimated."""
        characters = sum(map(len, self._waiting))
        return [*self._known, *self._spread(self._from_s + characters * SECONDS_PER_CHARACTER)]

    @property
    def told(self) -> list[SpokenWord]:
        """The words that a listener can be told of: where the voice brings times, only those that have theirs."""
        return self._known if self._has_times else self.words

    def heard(self, position_s: float) -> Heard:
        """The words that were over at a position, and the others."""
        words = self.words
        count = next((index for index, word in enumerate(words) if word.end_s > position_s), len(words))
        around = words[max(0, count - 1) : count + 1]
        return Heard(
            "".join(word.text for word in words[:count]).strip(),
            "".join(word.text for word in words[count:]).strip(),
            estimated=any(word.estimated for word in around),
        )

    @property
    def _from_s(self) -> float:
        """Where the first word without times may begin."""
        if self._word_start_s is not None:
            return self._word_start_s
        return max(self._start_s, self._known[-1].end_s if self._known else 0.0)

    def _wait_for(self, words: list[str], start_s: float) -> None:
        self._waiting, self._aligned, self._start_s, self._word_start_s = words, 0, start_s, None
        self._has_times = False

    def _forget(self, at_s: float) -> None:
        """Let the words of the sentence whose voice did not come up to `at_s` wait for one again."""
        lost = self._known[self._sentence_from :]
        while lost and lost[0].end_s <= at_s + CUT_OFF_S:
            del lost[0]
        if lost:
            del self._known[-len(lost) :]
        self._waiting = [*(word.text for word in lost), *self._waiting]

    def _take_estimated(self, at_s: float) -> None:
        """Count the words without times as spoken that were over at `at_s` even if the voice was slow."""
        pace_s = self._voiced_s / self._voiced_characters if self._voiced_characters else SECONDS_PER_CHARACTER
        slow_s = CAREFUL * pace_s * sum(map(len, self._waiting))
        words = self._spread(self._from_s + slow_s)
        does_not_end = at_s > self._from_s + 2 * slow_s
        said = len(words) if does_not_end else sum(word.end_s <= at_s for word in words[:-1])
        self._known += words[:said]
        del self._waiting[:said]

    def _align(self, character: str, start_s: float, end_s: float) -> None:
        """Take one character. Spaces say nothing of a word, and what is no letter may be missing before it."""
        letters = "".join(word.rstrip() for word in self._waiting[:2])
        for passed, expected in enumerate(letters[self._aligned :]):
            if expected.casefold() == character.casefold():
                for _ in range(passed):
                    self._take(start_s, start_s)
                self._take(start_s, end_s)
                return
            if expected.isalnum():
                return

    def _take(self, start_s: float, end_s: float) -> None:
        """The next character lies there; with its last one the word is known."""
        word = self._waiting[0]
        start_s = max(start_s, self._known[-1].end_s if self._known else 0.0)
        self._word_start_s = start_s if self._word_start_s is None else self._word_start_s
        self._aligned += 1
        if self._aligned == len(word.rstrip()):
            self._known.append(SpokenWord(word, self._word_start_s, max(end_s, start_s), estimated=False))
            del self._waiting[0]
            self._aligned, self._word_start_s = 0, None

    def _spread(self, end_s: float) -> list[SpokenWord]:
        """The words without times, by their characters, up to `end_s`."""
        start_s = self._from_s
        pace_s = max(0.0, end_s - start_s) / max(1, sum(map(len, self._waiting)))
        words: list[SpokenWord] = []
        for text in self._waiting:
            spoken_s = start_s + pace_s * len(text.rstrip())
            words.append(SpokenWord(text, start_s, spoken_s, estimated=True))
            start_s += pace_s * len(text)
        if words:
            words[-1] = replace(words[-1], end_s=max(end_s, words[-1].start_s))
        return words
