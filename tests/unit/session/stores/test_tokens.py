"""Tokens by which clients come back to their sessions."""

import pytest

from avatar_service.session.stores.base import hash_of, new_session_id, new_token, same_hash, session_of


def test_a_token_names_its_session_and_is_never_the_same() -> None:
    session_id = new_session_id()
    tokens = {new_token(session_id) for _ in range(100)}
    assert len(tokens) == 100
    assert {session_of(token) for token in tokens} == {session_id}
    assert {len(token.partition(".")[2]) for token in tokens} == {43}, "256 bits in base 64"


@pytest.mark.parametrize(
    "token",
    ["", "s-0123456789abcdef", "s-0123456789abcdef.", "x" * 60_000, "s-0123456789abcdef." + "a" * 44, "é." + "a" * 43],
)
def test_what_has_not_the_form_of_a_token_names_no_session(token: str) -> None:
    assert session_of(token) == ""


def test_a_hash_tells_tokens_apart_and_does_not_hold_them() -> None:
    one, other = new_token(new_session_id()), new_token(new_session_id())
    assert same_hash(hash_of(one), hash_of(one))
    assert not same_hash(hash_of(one), hash_of(other))
    assert one.partition(".")[2] not in hash_of(one)
    assert len(hash_of("\ud800")) == 64
