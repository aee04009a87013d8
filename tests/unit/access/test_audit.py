"""The audit log: what its lines hold, where they go, and how many there are at most."""

import json
from pathlib import Path
from typing import Any

import pytest

from avatar_service import clock
from avatar_service.access.audit import LINES_PER_SECOND, audit, audited_to, granted
from avatar_service.access.identity import Call, Identity, Proof, called_by, serving_call
from avatar_service.errors import StartupError
from avatar_service.log import bound_contextvars


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(clock, "wall", lambda: 1_800_000_000.5)
    return tmp_path / "audit.jsonl"


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_tells_who_called_what_from_where(file: Path) -> None:
    identity = Identity("shop", "shop-1", Proof.KEY)
    with (
        audited_to(str(file)),
        called_by(identity),
        serving_call(Call("Converse", "ipv4:192.0.2.1:5000")),
        bound_contextvars(session_id="s-1"),
    ):
        audit("call_refused", why="foreign", code="NOT_FOUND", avatar="")
        granted("avatar_created", avatar="avatars/me")
    common = {"time": "2027-01-15T08:00:00.500Z", "tenant": "shop", "subject": "shop-1", "proof": "key"}
    common |= {"peer": "ipv4:192.0.2.1:5000", "method": "Converse", "session_id": "s-1"}
    assert lines(file) == [
        common | {"event": "call_refused", "why": "foreign", "code": "NOT_FOUND"},
        common | {"event": "avatar_created", "avatar": "avatars/me"},
    ]


def test_what_strangers_write_makes_no_lines_of_its_own_and_no_long_ones(file: Path) -> None:
    with audited_to(str(file)):
        audit("credential_refused", subject='x"}\n{"event": "avatar_deleted', tenant="y" * 10_000)
    (line,) = lines(file)
    assert line["event"] == "credential_refused"
    assert len(line["tenant"]) == 200


def test_a_flood_is_counted_and_not_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with audited_to(str(file)):
        for number in range(LINES_PER_SECOND + 50):
            audit("credential_refused", number=number)
        monkeypatch.setattr(clock, "wall", lambda: 1_800_000_001.5)
        audit("credential_refused")
        audit("credential_refused")
    written = lines(file)
    assert len(written) == LINES_PER_SECOND + 2
    assert [line.get("lines_left_out") for line in written[-3:]] == [None, 50, None]


def test_the_file_may_be_moved_away(file: Path, tmp_path: Path) -> None:
    with audited_to(str(file)):
        audit("one")
        file.rename(tmp_path / "audit.1")
        audit("two")
    assert [line["event"] for line in lines(tmp_path / "audit.1")] == ["one"]
    assert [line["event"] for line in lines(file)] == ["two"]


def test_a_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="AVATAR_AUDIT_LOG: cannot write"), audited_to(str(tmp_path / "no" / "f")):
        pass
