"""API keys over the wire."""

import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar_service.access import watched_file
from avatar_service.access.keys import line_of, new_key
from tests.service.access.calling import api_key, called, lines, refusal
from tests.service.calls import serving

OLD = new_key()


def access_of(tmp_path: Path, *entries: str) -> dict[str, Any]:
    (tmp_path / "keys.jsonl").write_text("\n".join(entries) + "\n")
    return {"api_keys": str(tmp_path / "keys.jsonl"), "audit_log": str(tmp_path / "audit.jsonl")}


async def test_a_key_is_taken_and_after_it_was_taken_back_refused_without_a_restart(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_file, "LOOK_S", 0.0)
    key = new_key()
    line = line_of("shop-1", "shop", key)
    async with serving(store, access=access_of(tmp_path, line)) as server:
        assert await called(server, api_key(key)) == ["ada", "bo"]
        access_of(tmp_path, json.dumps(json.loads(line) | {"revoked": True}))
        refused = await refusal(server, api_key(key), tmp_path / "audit.jsonl", key, line.split('"')[11])
    assert (refused.code, refused.reason, refused.why) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "CREDENTIAL_INVALID",
        "revoked",
    )
    assert (refused.audited["tenant"], refused.audited["subject"], refused.audited["proof"]) == (
        "shop",
        "shop-1",
        "key",
    )


@pytest.mark.parametrize(
    ("shown", "reason", "why"),
    [
        (new_key, "CREDENTIAL_INVALID", "unknown"),
        (lambda: "x", "CREDENTIAL_INVALID", "unknown"),
        (lambda: OLD, "CREDENTIAL_EXPIRED", "expired"),
    ],
)
async def test_any_other_key_is_refused(store: Path, tmp_path: Path, shown: Any, reason: str, why: str) -> None:
    key = shown()
    entries = line_of("shop-1", "shop", new_key()), line_of("shop-2", "shop", OLD, "2026-01-01T00:00:00Z")
    async with serving(store, access=access_of(tmp_path, *entries)) as server:
        refused = await refusal(server, api_key(key), tmp_path / "audit.jsonl", *({key} - {"x"}))
    assert (refused.reason, refused.why) == (reason, why)


async def test_a_token_is_none_of_a_server_that_takes_keys_alone(store: Path, tmp_path: Path) -> None:
    async with serving(store, access=access_of(tmp_path, line_of("shop-1", "shop", OLD))) as server:
        refused = await refusal(server, (("authorization", f"Bearer {OLD}"),), tmp_path / "audit.jsonl", OLD)
        assert (refused.reason, refused.why) == ("CREDENTIAL_MISSING", "missing")
        assert refused.status.message.endswith("an API key in `x-api-key`")
        assert await called(server, (("authorization", "Bearer of.another.kind"), *api_key(OLD))) == ["ada", "bo"]


async def test_without_a_file_of_its_own_the_audit_log_goes_into_the_log(
    store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    access = access_of(tmp_path, line_of("shop-1", "shop", OLD)) | {"audit_log": ""}
    async with serving(store, access=access) as server:
        with pytest.raises(grpc.aio.AioRpcError):
            await called(server)
    told = capfd.readouterr()
    assert "credential_refused" in told.out + told.err
    assert lines(tmp_path / "audit.jsonl") == []
