"""Checks of what clients send; each error names the field, the limit and the way out."""

import re

from google.protobuf.message import Message

from avatar_service.errors import InvalidArgument, Unimplemented

DECIMALS = 6
"""As many as a 32-bit float of the contract holds of a number below 10: 1.2 arrives as 1.20000005."""
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,4}")


def in_range(field: str, value: float, lowest: float, highest: float, unit: str = "") -> None:
    """Raise InvalidArgument unless `value` lies in the range."""
    if not lowest <= value <= highest:  # written so that NaN is refused too
        unit = f" {unit}" if unit else ""
        raise InvalidArgument(field, f"is {value:g}{unit}; give {lowest:g} to {highest:g}{unit}")


def at_most(field: str, text: str, limit: int) -> None:
    """Raise InvalidArgument if `text` is longer than `limit` characters."""
    if len(text) > limit:
        raise InvalidArgument(field, f"has {len(text):,} characters; give at most {limit:,}", reason="TEXT_TOO_LONG")


def at_most_bytes(field: str, text: str, limit: int) -> None:
    """Raise InvalidArgument if `text` is longer than `limit` bytes of UTF-8."""
    if (size := len(text.encode())) > limit:
        raise InvalidArgument(field, f"has {size:,} bytes; give at most {limit:,}", reason="TEXT_TOO_LONG")


def language(field: str, code: str) -> str:
    """A BCP-47 code as it stands, or empty. Raises InvalidArgument for what is none."""
    if code and not _LANGUAGE.fullmatch(code):
        raise InvalidArgument(field, "is no BCP-47 code; give one such as `en` or `pt-BR`, or leave it out")
    return code


def spoken_text(field: str, text: str, limit: int) -> str:
    """A text to say or to answer, without the white space around it. Raises InvalidArgument if none is left."""
    at_most(field, text, limit)
    if not text.strip():
        raise InvalidArgument(field, "is empty; give at least one character")
    return text.strip()


def given(parent: Message, name: str, path: str, default: float, lowest: float, highest: float) -> float:
    """An optional number of `parent`, or the default. Raises InvalidArgument if it is out of range."""
    if not parent.HasField(name):
        return default
    value: float = round(getattr(parent, name), DECIMALS)
    in_range(f"{path}.{name}", value, lowest, highest)
    return value


def given_s(parent: Message, name: str, path: str, default_s: float, lowest_s: float, highest_s: float) -> float:
    """An optional `Duration` of `parent` in seconds, or the default. Raises InvalidArgument if it is out of range."""
    if not parent.HasField(name):
        return default_s
    seconds: float = getattr(parent, name).ToNanoseconds() / 1e9
    in_range(f"{path}.{name}", seconds, lowest_s, highest_s, "s")
    return seconds


def not_served(field: str, served: str) -> Unimplemented:
    """The error for a part of the contract that this server does not serve."""
    return Unimplemented(field, f"this server does not serve it; it serves {served}")
