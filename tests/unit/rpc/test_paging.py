"""Lists in pages."""

import pytest

from avatar_service.errors import InvalidArgument
from avatar_service.rpc.paging import LARGEST_SIZE, page_of

NAMES = [f"avatars/{index:03}" for index in range(230)]


def page(size: int, token: str = "", names: list[str] | None = None) -> tuple[list[str], str]:
    return page_of(NAMES if names is None else names, lambda name: name, "avatars", size, token)


@pytest.mark.parametrize(("asked", "size"), [(0, 50), (1, 1), (100, 100), (101, LARGEST_SIZE), (2**31 - 1, 100)])
def test_a_page_is_as_large_as_asked_for_within_the_limit(asked: int, size: int) -> None:
    assert page(asked)[0] == NAMES[:size]


@pytest.mark.parametrize("size", [1, 7, 23, 100])
def test_every_name_comes_once(size: int) -> None:
    names, token = page(size)
    while token:
        more, token = page(size, token)
        names += more
    assert names == NAMES


def test_the_last_page_has_no_token_also_when_it_is_full() -> None:
    assert page(100, names=NAMES[:100])[1] == ""
    assert page(100, names=[]) == ([], "")


def test_a_list_that_changes_between_pages_neither_repeats_nor_leaves_out() -> None:
    first, token = page(100)
    shorter = NAMES[50:99] + NAMES[100:]
    assert page(100, token, shorter)[0] == NAMES[100:200]
    assert first[-1] == NAMES[99]


@pytest.mark.parametrize("token", ["x", "%%%%", "dm9pY2VzL2E", "YXZhdGFycy8=x", "ö"])
def test_a_token_of_another_list_or_none_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument, match=r"page_token: .*next_page_token"):
        page(10, token)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="page_size: is -1; give 1 to 100"):
        page(-1)
