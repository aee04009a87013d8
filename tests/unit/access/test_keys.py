"""API keys: made, told by their hashes, taken back."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from avatar_service import clock, metrics
from avatar_service.access.identity import Identity, Proof
from avatar_service.access.keys import ApiKeys, line_of, new_key, parse_keys
from avatar_service.errors import StartupError, Unauthenticated

MOMENT = "2027-01-01T00:00:00Z"
MOMENT_S = datetime(2027, 1, 1, tzinfo=UTC).timestamp()


class WallClock:
    """The time of day, set by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = MOMENT_S - 100
        monkeypatch.setattr(clock, "wall", lambda: self.now_s)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    return WallClock(monkeypatch)


def entry(key: str, key_id: str = "shop-1", **fields: Any) -> str:
    return json.dumps({"id": key_id, "tenant": "shop", "sha256": hashlib.sha256(key.encode()).hexdigest()} | fields)


def file_of(tmp_path: Path, *lines: str) -> Path:
    """A file in the place of the one before."""
    (tmp_path / "next").write_text("\n".join(lines))
    os.replace(tmp_path / "next", tmp_path / "keys.jsonl")
    return tmp_path / "keys.jsonl"


def why_refused(keys: ApiKeys, key: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        keys.identify(key)
    return f"{refused.value.reason} {refused.value.why}"


def test_a_key_is_256_random_bits_and_its_line_does_not_hold_it() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("avk_") and len(key) == 47 for key in keys)
    key = keys.pop()
    line = line_of("shop-1", "shop", key, MOMENT)
    assert key not in line
    assert parse_keys(line)[0].sha256 == hashlib.sha256(key.encode()).digest()


def test_a_key_of_the_file_tells_its_tenant(tmp_path: Path, wall: WallClock) -> None:
    keys = ApiKeys(str(file_of(tmp_path, "# two", "", entry("a"), entry("b", "bank-1", tenant="bank", expires=MOMENT))))
    assert keys.identify("a") == Identity("shop", "shop-1", Proof.KEY)
    assert keys.identify("b") == Identity("bank", "bank-1", Proof.KEY, MOMENT_S)


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"revoked": True}, "CREDENTIAL_INVALID revoked"),
        ({"expires": "2026-01-01T00:00:00+01:00"}, "CREDENTIAL_EXPIRED expired"),
        ({"revoked": True, "expires": "2026-01-01T00:00:00Z"}, "CREDENTIAL_INVALID revoked"),
    ],
)
def test_a_key_that_was_taken_back_or_has_ended_is_refused(
    tmp_path: Path, wall: WallClock, fields: dict[str, Any], refused: str
) -> None:
    keys = ApiKeys(str(file_of(tmp_path, entry("a", **fields))))
    assert why_refused(keys, "a") == refused
    for other in ("b", "", "A", "a "):
        assert why_refused(keys, other) == "CREDENTIAL_INVALID unknown"


def test_a_key_ends_while_the_service_runs(tmp_path: Path, wall: WallClock) -> None:
    keys = ApiKeys(str(file_of(tmp_path, entry("a", expires=MOMENT))))
    keys.identify("a")
    wall.now_s = MOMENT_S
    assert why_refused(keys, "a") == "CREDENTIAL_EXPIRED expired"


def test_a_changed_file_counts_within_a_second(tmp_path: Path, wall: WallClock) -> None:
    keys = ApiKeys(str(file_of(tmp_path, entry("a"))))
    keys.identify("a")
    file_of(tmp_path, entry("a", revoked=True), entry("b", "shop-2"))
    wall.now_s += 1.0
    assert why_refused(keys, "a") == "CREDENTIAL_INVALID revoked"
    assert keys.identify("b").subject == "shop-2"


def test_a_file_that_is_wrong_leaves_the_last_good_one_and_is_told(tmp_path: Path, wall: WallClock) -> None:
    keys = ApiKeys(str(file_of(tmp_path, entry("a"))))
    for wrong in ("{", entry("b")[:-1]):
        file_of(tmp_path, wrong)
        wall.now_s += 1.0
        assert keys.identify("a").tenant == "shop"
        assert metrics.CREDENTIAL_SOURCES_OK.labels("api_keys")._value.get() == 0
    file_of(tmp_path, entry("c"))
    wall.now_s += 1.0
    assert keys.identify("c").tenant == "shop"
    assert metrics.CREDENTIAL_SOURCES_OK.labels("api_keys")._value.get() == 1


def test_the_file_is_looked_at_once_a_second_also_when_the_clock_is_set_back(tmp_path: Path, wall: WallClock) -> None:
    keys = ApiKeys(str(file_of(tmp_path, entry("a"))))
    keys.identify("a")
    wall.now_s -= 3_600
    file_of(tmp_path, entry("b"))
    assert keys.identify("b").tenant == "shop"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 1 of the line is no JSON object"),
        ("[]", "line 1 of the line is no JSON object"),
        ('"avk_secret"', "line 1 of the line is no JSON object"),
        ("{}", "has no 'id'"),
        (entry("a", tenant="a b"), "`tenant` that is not"),
        (entry("a", tenant="../a"), "`tenant` that is not"),
        (entry("a", id="a/b"), "`id` that is not"),
        (entry("a", sha256="ab"), "`sha256` that is not"),
        (entry("a", expires="tomorrow"), "`expires` that is no time"),
        (entry("a", expires="2027-01-01T00:00:00"), "`expires` that is no time with its zone"),
        (entry("a", revoked="yes"), "`revoked` that is not true or false"),
        (entry("a", secret="avk_secret"), "a field other than"),
        (entry("a") + "\n" + entry("b"), "the id 'shop-1' more than once"),
    ],
)
def test_a_wrong_line_is_named_and_not_shown(line: str, told: str) -> None:
    with pytest.raises(StartupError) as wrong:
        parse_keys(line)
    assert told in str(wrong.value)
    assert "avk_secret" not in str(wrong.value)


def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    for content, told in ((None, "cannot read"), (b"\xff", "no text in UTF-8"), (b" " * 1_100_000, "larger than")):
        path = tmp_path / "keys"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(StartupError, match=f"AVATAR_API_KEYS: .*{told}"):
            ApiKeys(str(path))
