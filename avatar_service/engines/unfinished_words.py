"""Whether words sound as if more were to come, by rules for English; in another language every pause may be the end.

Transcribers put a full stop behind anything, so that says nothing; a question or exclamation mark, comma or dash does.
In doubt a sentence is whole: to be wrong about that costs what endpointing by silence alone costs; to be wrong the
other way makes the user wait. Words stand alone where they cannot end a sentence, and with what they follow where they
can.
"""

import re

_WORDS = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*")
_ENGLISH_ALONE = frozenset("the and i i'm i'd i'll my you your is it it's what what's where that this of with".split())
"""Where the language is not told, a text with one of these is taken for English."""

_NEVER_LAST = frozenset(
    "a an the my your our their every and or but because if unless whether although while than of from with for into"
    " onto during without between very gonna wanna um uh uhm er erm to".split()
)
"""Articles, conjunctions, prepositions and fillers: what follows is missing."""
_CONTRACTION = re.compile(r"(i'm|it's|that's|there's|he's|she's|\w+'(ll|re|ve|d))")
"""No English sentence ends with one."""
_BE = frozenset("is are was were".split())
_BEFORE_LAST_BE = frozenset("it he she they we you this that there here who".split())
"""As in "I know who he is"."""
_OPINION = frozenset("think believe hope guess say said suppose afraid why even or".split())
"""As in "I think so", where `so` ends the sentence; before `that` the same verbs leave it open."""
_LETTER_AFTER = frozenset("vitamin plan grade hepatitis option type letter an group team class section".split())
"""As in "vitamin a"."""
_STRANDING = frozenset("who whom what which where whose".split())
"""Words of a question or clause that may end with its preposition: "who are you talking to"."""
_STRANDABLE = frozenset("to of from with for into".split())
_BEFORE_LAST_TO = frozenset("love like not don't didn't won't wouldn't can't have want".split())

_DIGITS = frozenset("zero oh one two three four five six seven eight nine".split())
_DICTATED = (
    (re.compile(r"\b(phone|telephone|mobile|card|account|my) number\b"), 7),
    (re.compile(r"\b(pin|zip|code|postcode)\b"), 4),
)
"""What is dictated in digits, and how many it has at least: seven in the shortest phone numbers, four in a PIN."""


class UnfinishedWords:
    """An EndOfTurn by rules."""

    def finished(self, text: str, language: str, /) -> bool:
        """Whether `text` may be all of what somebody wants to say."""
        plain = text.strip().lower().replace("\u2019", "'")
        words = _WORDS.findall(plain)
        if not words or not _is_english(words, language):
            return True
        if plain[-1] in "?!":
            return True
        if plain[-1] in ",:;-\u2013\u2014\u2026" or plain.endswith("..."):
            return False
        return not (_wants_another_word(words) or _is_dictating(plain, words))


def _is_english(words: list[str], language: str) -> bool:
    if language:
        return language.partition("-")[0].lower() == "en"
    return not _ENGLISH_ALONE.isdisjoint(words)


def _wants_another_word(words: list[str]) -> bool:
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _BE:
        return before not in _BEFORE_LAST_BE and _STRANDING.isdisjoint(words)
    if last == "so":
        return before not in _OPINION
    if last == "that":
        return before in _OPINION
    if last == "i":
        return before != "and" or len(words) == 2
    if last == "a" and before in _LETTER_AFTER:
        return False
    if last in _STRANDABLE and not _STRANDING.isdisjoint(words[:-1]):
        return False
    if last == "to" and before in _BEFORE_LAST_TO:
        return before in ("like", "want") and _STRANDING.isdisjoint(words) and not _is_denied(words)
    return last in _NEVER_LAST or _CONTRACTION.fullmatch(last) is not None


def _is_denied(words: list[str]) -> bool:
    """As in "I don't want to", which is an answer."""
    return any(word.endswith("n't") or word in ("not", "if", "because") for word in words)


def _is_dictating(plain: str, words: list[str]) -> bool:
    """Whether a number was begun whose last digits are missing, as in "my number is five five"."""
    digits = 0
    for word in reversed(words):
        if word in _DIGITS:
            digits += 1
        elif word.replace("-", "").isdigit():
            digits += len(word.replace("-", ""))
        elif word not in ("double", "triple"):
            break
    return digits > 0 and any(digits < least for spoken, least in _DICTATED if spoken.search(plain))
