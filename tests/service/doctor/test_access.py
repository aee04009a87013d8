"""What the doctor finds of credentials."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from avatar_service import clock
from avatar_service.access.keys import line_of, new_key
from avatar_service.doctor.access import access
from avatar_service.doctor.report import Finding, Verdict
from avatar_service.settings import AccessSettings, ServerSettings, Settings
from tests.issuer import AUDIENCE, ISSUER, Issuer
from tests.tls_files import write_tls_files

DAY_S = 86_400.0


async def findings(listen: str = "127.0.0.1:0", **settings: Any) -> Sequence[Finding]:
    loaded = Settings.load(env_file=None)
    server = ServerSettings.model_validate({"listen": listen})
    return await access(replace(loaded, server=server, access=AccessSettings.model_validate(settings)))


def told(found: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.subject, finding.verdict.value) for finding in found]


async def test_on_this_machine_alone_nothing_need_be_set() -> None:
    assert told(await findings()) == [("access", "ok")]


async def test_an_address_that_others_reach_fails_as_the_start_would() -> None:
    (found,) = await findings("0.0.0.0:50051")
    assert (found.verdict, "AVATAR_OPEN_ACCESS" in found.detail) == (Verdict.FAILED, True)
    assert told(await findings("0.0.0.0:50051", open_access=True)) == [("access", "warning")]


async def test_certificates_are_told_with_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tls_files(tmp_path)
    pems = {"tls_certificate": str(tmp_path / "tls.crt"), "tls_key": str(tmp_path / "tls.key")}
    pems["client_ca"] = str(tmp_path / "ca.crt")
    assert told(await findings(**pems)) == [("access", "ok"), ("TLS", "ok"), ("TLS", "ok")]
    now_s = time.time()
    for later_s, verdict in ((0.95 * DAY_S, "warning"), (1.1 * DAY_S, "failed"), (-2 * DAY_S, "failed")):
        monkeypatch.setattr(clock, "wall", lambda later_s=later_s: now_s + later_s)
        assert told(await findings(**pems))[1:] == [("TLS", verdict)] * 2
    os.replace(tmp_path / "good.key", tmp_path / "tls.key")
    assert told(await findings(**pems))[1:] == [("TLS", "failed")]


async def test_keys_are_counted_and_those_that_end_soon_named(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3 * DAY_S))
    path.write_text("\n".join([line_of("shop-1", "shop", new_key()), line_of("bank-1", "bank", new_key(), soon)]))
    found = await findings(api_keys=str(path))
    assert told(found)[1:] == [("API keys", "ok"), ("API keys", "warning")]
    assert found[1].detail.startswith("2 taken of 2")
    assert "bank-1" in found[2].detail
    path.write_text(line_of("shop-1", "shop", new_key(), "2026-01-01T00:00:00Z"))
    assert told(await findings(api_keys=str(path)))[1:] == [("API keys", "failed")]
    path.unlink()
    assert told(await findings(api_keys=str(path)))[1:] == [("API keys", "failed")]


async def test_the_issuers_keys_are_really_read(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text(Issuer().jwks())
    tokens = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    found = await findings(jwks=str(tmp_path / "jwks.json"), **tokens)
    assert told(found)[1:] == [("tokens", "ok")]
    assert found[1].detail.startswith("1 public keys")
    assert told(await findings(jwks="http://127.0.0.1:1/jwks", **tokens))[1:] == [("tokens", "failed")]
    assert told(await findings(jwks="x"))[0] == ("access", "failed")
