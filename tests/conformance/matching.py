"""What a wire script expects, against what came: both as JSON of the contract's field names."""

from collections.abc import Mapping
from typing import Any

PRESENT = "$present"
BOUNDS = {"$min", "$max"}


def difference(expected: Any, actual: Any, path: str = "") -> str:
    """The first place where `actual` is not as expected, in words; empty if it matches. None is an absent field."""
    if expected is None:
        return "" if actual is None else f"{path} is {_brief(actual)} and must be absent"
    if actual is None:
        return f"{path} is absent"
    if isinstance(expected, Mapping):
        if PRESENT in expected:
            return ""
        if expected and BOUNDS.issuperset(expected):
            return _out_of_bounds(expected, actual, path)
        return _of_objects(expected, actual, path)
    if isinstance(expected, list):
        return _of_lists(expected, actual, path)
    same = type(expected) is type(actual) and expected == actual
    return "" if same else f"{path} is {_brief(actual)}, not {_brief(expected)}"


def substituted(value: Any, variables: Mapping[str, Any]) -> Any:
    """`value` with each string `$name` replaced. Raises KeyError naming a variable that was not saved."""
    if isinstance(value, dict):
        return {key: substituted(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [substituted(item, variables) for item in value]
    if isinstance(value, str) and value.startswith("$"):
        return variables[value[1:]]
    return value


def found(message: Any, path: str) -> Any:
    """The field at this dotted path. Raises KeyError if it is absent."""
    for name in path.split("."):
        message = message[name]
    return message


def _out_of_bounds(bounds: Mapping[str, float], actual: Any, path: str) -> str:
    try:
        number = float(actual.removesuffix("s") if isinstance(actual, str) else actual)
    except (TypeError, ValueError):
        return f"{path} is {_brief(actual)} and must be a number"
    if bounds.get("$min", number) <= number <= bounds.get("$max", number):
        return ""
    return f"{path} is {_brief(actual)} and must be within {dict(bounds)}"


def _of_objects(expected: Mapping[str, Any], actual: Any, path: str) -> str:
    if not isinstance(actual, Mapping):
        return f"{path} is {_brief(actual)} and must be an object"
    differences = (
        difference(item, actual.get(name), f"{path}.{name}" if path else name) for name, item in expected.items()
    )
    return next(filter(None, differences), "")


def _of_lists(expected: list[Any], actual: Any, path: str) -> str:
    if not isinstance(actual, list):
        return f"{path} is {_brief(actual)} and must be a list"
    for item in expected:
        if all(difference(item, one, path) for one in actual):
            return f"{path} has no {_brief(item)}"
    return ""


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
