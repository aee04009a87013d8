"""Lists in pages. A token says after which name the next page begins, so a page is right also when the list changes."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from avatar_service.errors import InvalidArgument

T = TypeVar("T")

DEFAULT_SIZE = 50
LARGEST_SIZE = 100


def page_of(items: Sequence[T], name: Callable[[T], str], kind: str, size: int, token: str) -> tuple[list[T], str]:
    """A page of `items` by name, and the token of the next one, empty after the last.

    Names begin with `kind` and a slash. `size` and `token` are those of the request; raises InvalidArgument naming the
    one that is wrong.
    """
    if size < 0:
        raise InvalidArgument("page_size", f"is {size}; give 1 to {LARGEST_SIZE}, or 0 for {DEFAULT_SIZE}")
    after = _decoded(token, kind) if token else ""
    following = sorted((item for item in items if name(item) > after), key=name)
    page = following[: min(size or DEFAULT_SIZE, LARGEST_SIZE)]
    return page, _encoded(name(page[-1])) if len(page) < len(following) else ""


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _decoded(token: str, kind: str) -> str:
    try:
        name = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        name = ""
    if not name.startswith(f"{kind}/"):
        raise InvalidArgument("page_token", "is none of this list's; give the `next_page_token` of the page before")
    return name
