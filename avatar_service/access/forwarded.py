"""The header in which a proxy says which certificate its client showed: Envoy's `x-forwarded-client-cert`.

    By=spiffe://a/proxy;Hash=46...;URI=spiffe://a/tenant/shop/web;DNS=shop.example, By=...

Elements stand between commas, the proxy nearest to us last; parts between semicolons; a value with one of these in it
stands in quotes, and a quote within that behind a backslash. `URI` and `DNS` may come several times.
"""

import re

from avatar_service.access.identity import Proof
from avatar_service.access.refusals import invalid

_END = re.compile("[,;]")
LONGEST = 16_384
"""Characters; gRPC refuses metadata above 16 KiB itself."""


def forwarded_certificates(headers: list[str]) -> list[tuple[str, ...]]:
    """The names in each certificate, URIs before names of DNS, in the order of the header.

    Raises Unauthenticated for what a proxy does not write.
    """
    text = ",".join(headers)
    if not text.strip():
        return []
    if len(text) > LONGEST:
        raise invalid(Proof.CERTIFICATE, "forwarded_malformed")
    return [_names(element) for element in _elements(text)]


def _names(parts: list[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(value for wanted in ("uri", "dns") for key, value in parts if key == wanted and value)


def _elements(text: str) -> list[list[tuple[str, str]]]:
    """Keys in lower case and values of each element."""
    elements: list[list[tuple[str, str]]] = [[]]
    position = 0
    while position <= len(text):
        key, position = _key(text, position)
        value, position = _value(text, position)
        elements[-1].append((key, value))
        if position < len(text) and text[position] == ",":
            elements.append([])
        position += 1
    return elements


def _key(text: str, begin: int) -> tuple[str, int]:
    """The key that begins here, and where its value does."""
    end = text.find("=", begin)
    key = text[begin:end].strip() if end >= 0 else ""
    if not (key.isascii() and key.isalpha()):
        raise invalid(Proof.CERTIFICATE, "forwarded_malformed")
    return key.lower(), end + 1


def _value(text: str, begin: int) -> tuple[str, int]:
    """The value that begins here, and where the separator behind it is, or the end."""
    if not text.startswith('"', begin):
        mark = _END.search(text, begin)
        end = mark.start() if mark else len(text)
        if '"' in text[begin:end]:
            raise invalid(Proof.CERTIFICATE, "forwarded_malformed")
        return text[begin:end].strip(), end
    value, position = [], begin + 1
    while position < len(text) and text[position] != '"':
        position += text[position] == "\\"
        value.append(text[position : position + 1])
        position += 1
    if position >= len(text) or text[position + 1 : position + 2] not in ("", ",", ";"):
        raise invalid(Proof.CERTIFICATE, "forwarded_malformed")
    return "".join(value), position + 1
