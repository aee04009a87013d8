"""What a tool's result is turned into: the model's own words would often be wrong, so a rule words it.

``{"temperature": 18, "sky": "clear"}`` becomes "The temperature is 18, and the sky is clear."; a result that is plain
text is said as it is.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

MAX_FACTS: Final = 8
MAX_CHARS: Final = 600
MAX_DEPTH: Final = 4
"""What is nested deeper is not said."""

_WORD_BORDERS: Final = re.compile(r"[_\-.]+|(?<=[a-z])(?=[A-Z])")


def worded_results(results: Sequence[str]) -> str:
    """Return the sentences that say what tools have found; at least one."""
    return _shortened(" ".join(_sentence(result) for result in results)) or "There is no result."


def _sentence(result: str) -> str:
    try:
        value = json.loads(result)
    except (ValueError, RecursionError):
        value = result
    if not isinstance(value, dict | list):
        return _closed(" ".join(str(value).split()))
    facts = [f"the {name} is {fact}" for name, fact in _facts(value)][:MAX_FACTS]
    if not facts:
        return "There is nothing."
    joined = facts[0] if len(facts) == 1 else f"{', '.join(facts[:-1])}, and {facts[-1]}"
    return _closed(joined[0].upper() + joined[1:])


def _facts(value: Mapping[str, Any] | list[Any], name: str = "", depth: int = 1) -> Iterator[tuple[str, str]]:
    """Yield names and values; an object in an object carries both names."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        yield name or "list", ", ".join(map(_word, value)) or "empty"
        return
    items = value.items() if isinstance(value, dict) else ((f"{name} {at}", item) for at, item in enumerate(value, 1))
    for key, item in items:
        inner = f"{name} {_name(key)}".strip() if isinstance(value, dict) else key.strip()
        if isinstance(item, dict | list):
            yield from _facts(item, inner, depth + 1)
        else:
            yield inner, _word(item)


def _name(key: str) -> str:
    return " ".join(_WORD_BORDERS.sub(" ", key).split()).lower()


def _word(value: Any) -> str:
    match value:
        case None:
            return "unknown"
        case bool():
            return "true" if value else "false"
    return " ".join(str(value).split())


def _closed(text: str) -> str:
    return text if not text or text[-1] in ".!?" else text + "."


def _shortened(text: str) -> str:
    """Return at most ``MAX_CHARS``, cut after a word."""
    if len(text) <= MAX_CHARS:
        return text
    return text[: text.rfind(" ", 0, MAX_CHARS)].rstrip(",;: ") + "…"
