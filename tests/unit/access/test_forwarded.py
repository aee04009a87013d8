"""The header in which a proxy says which certificate its client showed."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar_service.access.forwarded import forwarded_certificates
from avatar_service.errors import Unauthenticated

WEB = "spiffe://mesh.local/tenant/shop/web"


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("", []),
        (f"By=spiffe://mesh.local/proxy;Hash=46ab;URI={WEB}", [(WEB,)]),
        (f"Hash=46ab;DNS=web.example;uri={WEB}", [(WEB, "web.example")]),
        (f'Subject="CN=web,O=Shop; Ltd",URI={WEB}', [(), (WEB,)]),
        (f'Subject="/CN=\\"web\\";URI=spiffe://evil/tenant/bank";URI={WEB}', [(WEB,)]),
        (f'Cert="-----BEGIN%20CERTIFICATE-----";URI="{WEB}"', [(WEB,)]),
        (f"URI=spiffe://a/1,URI={WEB};URI=spiffe://a/2", [("spiffe://a/1",), (WEB, "spiffe://a/2")]),
        ("Hash=46ab", [()]),
        ("URI=;DNS=", [()]),
        ("URI=spiffe://a/?x=1", [("spiffe://a/?x=1",)]),
    ],
)
def test_names_are_read_in_the_order_of_the_proxies(header: str, names: list[tuple[str, ...]]) -> None:
    assert forwarded_certificates([header] if header else []) == names


def test_headers_that_repeat_follow_each_other() -> None:
    assert forwarded_certificates(["URI=spiffe://a/1", "URI=spiffe://a/2"]) == [("spiffe://a/1",), ("spiffe://a/2",)]


@pytest.mark.parametrize(
    "header",
    [
        WEB,
        "URI",
        "=x",
        "URI=a;",
        "URI=a,",
        ",URI=a",
        "URI=a;;DNS=b",
        'URI="a',
        'URI="a"b',
        'URI=a"b',
        'URI="a\\',
        "U RI=a",
        "ÜRI=a",
        "URI=" + "a" * 20_000,
    ],
)
def test_what_no_proxy_writes_is_refused(header: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        forwarded_certificates([header])
    assert (refused.value.reason, refused.value.why) == ("CREDENTIAL_INVALID", "forwarded_malformed")


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=3), min_size=1, max_size=4))
def test_what_is_quoted_comes_back_as_it_was_whatever_it_holds(elements: list[list[str]]) -> None:
    header = ",".join(";".join(f"URI={quoted(name)}" for name in names) for names in elements)
    assert forwarded_certificates([header]) == [tuple(names) for names in elements]


@given(st.text(alphabet='URI=";,\\ a', max_size=60))
def test_no_header_does_more_than_be_refused(header: str) -> None:
    with suppress(Unauthenticated):
        forwarded_certificates([header])
