"""Whether a mark in a text ends a sentence, a clause or neither: full stops of abbreviations, commas in dates.

The answer depends on what stands before the mark and on the next word; it is None while that word is not there.
"""

import re

UNSPACED_STOPS = "\u3002\uff01\uff1f\uff61\u104b\u17d4"
"""Stops of scripts that write no space behind them: Chinese, Japanese, Burmese, Khmer."""
UNSPACED_COMMAS = "\uff0c\u3001\uff1b\uff1a"
CLOSERS = "\"'\u201d\u2019\u00bb\u300d\u300f\uff09)]*_"
"""What closes behind a stop and belongs to its sentence, Markdown's emphasis too."""
CLAUSE_MARKS = rf"(?:[,;:\u060c\u061b\u104a{UNSPACED_COMMAS}]|[-\u2013\u2014]+)"
"""Commas, semicolons, colons and dashes, also Arabic, Burmese and full-width ones. Devanagari has those of Latin."""

_TITLES = frozenset(
    "mr mrs ms mx dr prof rev hon gen col maj capt cpt lt sgt cmdr adm sen rep gov pres st mt ft fr messrs mme mlle "
    "sra vs e.g i.e cf viz approx ca resp incl esp z.b d.h bzw usw".split()
)
"""Abbreviations behind which a sentence goes on."""
_NUMBERED = frozenset("no nos nr fig figs eq vol p pp ch sec art ex tab ver v".split())
"""Abbreviations of which a number belongs to; without one they are words of their own."""
_CLOSING = frozenset("a.m p.m etc et.al ph.d m.d b.a m.a b.sc m.sc b.c a.d b.c.e c.e".split())
"""Abbreviations that often end a sentence: a capital behind them begins another."""
_NAMED = frozenset("inc ltd co corp plc gmbh jr sr bros dept est ave blvd rd min max".split())
"""Abbreviations that belong to a name or a measure, behind which a capital says nothing."""
_AFTER_TIMES = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday gmt utc est edt cst pst pdt cet eastern pacific".split()
)
_STARTERS = frozenset(
    "a an and as at both but by can did do does each even every for from had has have he her here his how however i if "
    "in is it its later many maybe most my no not now of on once one only or our perhaps please she since so some "
    "sometimes that the their then there these they this those though to today under until was we well were what when "
    "where which while who why with would yes yet you your".split()
)
"""Words that begin a sentence where they are capitalized."""
_LONGEST_STARTER = max(map(len, _STARTERS | _AFTER_TIMES)) + 1

_LAST_WORD = re.compile(r"([^\W_](?:[^\W_]|[.'\u2019-](?=[^\W_]))*)\Z")
_ACRONYM = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_LIST_MARK = re.compile(r"[(\[]?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)\]]*")
_PAIRS = ("\u201c\u201d", "\u00ab\u00bb", "\u300c\u300d", "\u300e\u300f", "()", "[]", "\uff08\uff09")
_WIDE = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")


def spoken_size(text: str) -> int:
    """How long a text is when spoken, in Latin letters: a Chinese or Thai character takes as long as about three."""
    return len(text) + 2 * len(_WIDE.findall(text))


def ends_line(text: str, start: int, end: int) -> bool:
    """Whether the line from `start` to `end` is more than the mark of a list."""
    return not _LIST_MARK.fullmatch(text[start:end].strip())


def ends_sentence(text: str, start: int, mark: re.Match[str], *, final: bool) -> bool | None:
    """Whether the stops of `mark`, with the quotes that close behind them, end the sentence that began at `start`."""
    stops = mark["stop"].rstrip(CLOSERS)
    if any(stop in UNSPACED_STOPS for stop in stops):
        return True
    if not text[mark.end()].isspace():
        return False
    following = _next_word(text, mark.end(), final=final)
    may_go_on = stops != mark["stop"] or (stops != "." and not stops.strip(".\u2026"))
    if may_go_on and (following is None or following[:1].islower()):
        return None if following is None else False  # "Stop!" she said, and: well... perhaps
    return _full_stop(text[start : mark.start()], following) if stops == "." else True


def _full_stop(before: str, following: str | None) -> bool | None:
    """Whether a full stop between these ends the sentence."""
    if _LIST_MARK.fullmatch(before.strip()):
        return False
    found = _LAST_WORD.search(before)
    word = found[1] if found else ""
    key = word.lower()
    if key in _TITLES:
        return False
    is_name = key in _NAMED or (_ACRONYM.fullmatch(word) is not None and key not in _CLOSING)
    if not (is_name or key in _NUMBERED or key in _CLOSING):
        return True
    if following is None:
        return None
    if key in _NUMBERED and not is_name:
        return not following[:1].isdigit()
    if key in _CLOSING:
        return not following or (following[:1].isupper() and following.lower() not in _AFTER_TIMES)
    return not following or (following[:1].isupper() and following.lower() in _STARTERS)


def ends_clause(text: str, start: int, mark: re.Match[str], *, final: bool) -> bool | None:
    """Whether a comma, colon or dash ends a clause that can be spoken alone."""
    before, behind = text[start : mark.start()], text[mark.end()]
    if any(before.count(pair[0]) > before.count(pair[1]) for pair in _PAIRS) or before.count('"') % 2:
        return False
    if mark[0] in UNSPACED_COMMAS:
        return not (before[-1:].isdigit() and behind.isdigit())
    if not behind.isspace() or (mark[0][0] in "-\u2013" and not before[-1:].isspace()):
        return False
    found = _LAST_WORD.search(before.rstrip("."))
    if before.endswith(".") and found and found[1].lower() in _TITLES:
        return False
    if not before.rstrip()[-1:].isdigit():
        return True
    following = _next_word(text, mark.end(), final=final)
    return None if following is None else not following[:1].isdigit()


def _next_word(text: str, at: int, *, final: bool) -> str | None:
    """The word behind the white space at `at`, its first letters if it is long; None while it may go on."""
    begin = at
    while begin < len(text) and not text[begin].isalnum():
        if not text[begin].isspace() and text[begin] not in "\"'(\u201c\u2018\u00ab[*_":
            return text[begin]
        begin += 1
    end = begin
    while end < len(text) and end - begin < _LONGEST_STARTER and text[end].isalnum():
        end += 1
    if end == len(text) and not final:
        return None
    return text[begin:end]
