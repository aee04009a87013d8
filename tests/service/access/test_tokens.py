"""Bearer tokens: who is let in, and who is not."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from tests.issuer import AUDIENCE, ISSUER, Issuer
from tests.nothing_private import listening
from tests.service.access.calling import bearer, called, counted, lines, refusal
from tests.service.calls import serving


@pytest.fixture
def audit_log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def access_of(issuer: Issuer, tmp_path: Path, **more: Any) -> dict[str, Any]:
    """Settings by which the issuer's tokens are taken."""
    (tmp_path / "jwks.json").write_text(issuer.jwks())
    return {
        "jwks": str(tmp_path / "jwks.json"),
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "audit_log": str(tmp_path / "audit.jsonl"),
    } | more


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_a_good_token_is_let_in_and_told_nowhere(store: Path, tmp_path: Path, algorithm: str) -> None:
    issuer = Issuer(algorithm)
    token = issuer.token()
    with listening() as told:
        async with serving(store, access=access_of(issuer, tmp_path)) as server:
            assert await called(server, bearer(token)) == ["ada", "bo"]
    assert [part for part in token.split(".") if part in told.text] == []
    assert lines(tmp_path / "audit.jsonl") == []


EVIL = Issuer()


def with_others_signature(token: str, issuer: Issuer) -> str:
    return ".".join((*token.split(".")[:2], issuer.token().split(".")[2]))


NOW = int(time.time())


@pytest.mark.parametrize(
    ("token", "reason", "why"),
    [
        (lambda issuer: issuer.token(exp=NOW - 60), "CREDENTIAL_EXPIRED", "expired"),
        (lambda issuer: issuer.token(nbf=NOW + 3_600), "CREDENTIAL_INVALID", "not_yet_valid"),
        (lambda issuer: issuer.token(iss="https://elsewhere.example"), "CREDENTIAL_INVALID", "issuer"),
        (lambda issuer: issuer.token(iss=None), "CREDENTIAL_INVALID", "claims"),
        (lambda issuer: issuer.token(aud="billing"), "CREDENTIAL_INVALID", "audience"),
        (lambda issuer: issuer.token(exp=None), "CREDENTIAL_INVALID", "claims"),
        (lambda issuer: issuer.token(tenant=None), "CREDENTIAL_INVALID", "tenant"),
        (lambda issuer: issuer.token(tenant="../shop"), "CREDENTIAL_INVALID", "tenant"),
        (lambda issuer: issuer.token(tenant=["shop"]), "CREDENTIAL_INVALID", "tenant"),
        (lambda issuer: issuer.token(headers={"kid": "key-9"}), "CREDENTIAL_INVALID", "unknown_key"),
        (lambda issuer: EVIL.token(), "CREDENTIAL_INVALID", "signature"),
        (lambda issuer: issuer.forged("none"), "CREDENTIAL_INVALID", "algorithm"),
        (lambda issuer: issuer.forged("HS256"), "CREDENTIAL_INVALID", "algorithm"),
        (lambda issuer: issuer.forged("RS256"), "CREDENTIAL_INVALID", "algorithm"),
        (
            lambda issuer: with_others_signature(issuer.token(tenant="bank"), issuer),
            "CREDENTIAL_INVALID",
            "signature",
        ),
        (lambda issuer: "not.a.token", "CREDENTIAL_INVALID", "malformed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_any_other_is_refused_before_a_message_is_read(
    store: Path, tmp_path: Path, audit_log: Path, token: Callable[[Issuer], str], reason: str, why: str
) -> None:
    issuer, before = Issuer(), counted("token", why)
    shown = token(issuer)
    async with serving(store, access=access_of(issuer, tmp_path)) as server:
        refused = await refusal(server, bearer(shown), audit_log, *(part for part in shown.split(".") if len(part) > 5))
        assert await called(server, bearer(issuer.token())) == ["ada", "bo"]
    assert (refused.code, refused.reason, refused.why) == (grpc.StatusCode.UNAUTHENTICATED, reason, why)
    assert refused.audited["event"] == "credential_refused"
    assert refused.audited["proof"] == "token"
    assert refused.audited["peer"].startswith("ipv4:127.0.0.1:")
    assert counted("token", why) == before + 10


async def test_without_a_credential_the_client_is_told_which_are_taken(
    store: Path, tmp_path: Path, audit_log: Path
) -> None:
    async with serving(store, access=access_of(Issuer(), tmp_path)) as server:
        refused = await refusal(server, (), audit_log)
    assert (refused.code, refused.reason, refused.why) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "CREDENTIAL_MISSING",
        "missing",
    )
    assert refused.status.message == "this server asks for a credential: a token in `authorization: Bearer`"


@pytest.mark.parametrize("value", ["Basic c2hvcDpzM2NyZXQ=", "Bearer", "Bearer " + "x" * 9_000])
async def test_what_is_no_bearer_token_is_refused(store: Path, tmp_path: Path, audit_log: Path, value: str) -> None:
    async with serving(store, access=access_of(Issuer(), tmp_path)) as server:
        refused = await refusal(server, (("authorization", value),), audit_log)
    assert (refused.reason, refused.why) == ("CREDENTIAL_INVALID", "malformed")


async def test_two_tokens_are_one_too_many(store: Path, tmp_path: Path, audit_log: Path) -> None:
    issuer = Issuer()
    async with serving(store, access=access_of(issuer, tmp_path)) as server:
        refused = await refusal(server, (*bearer(issuer.token()), *bearer(issuer.token(tenant="bank"))), audit_log)
    assert (refused.reason, refused.why) == ("CREDENTIAL_INVALID", "several")


async def test_health_needs_no_credential_and_reflection_does(store: Path, tmp_path: Path, audit_log: Path) -> None:
    issuer = Issuer()
    async with serving(store, access=access_of(issuer, tmp_path)) as server:
        checked = await server.health.Check(HealthCheckRequest(service="avatar.v1.AvatarService"))
        assert checked.status == HealthCheckResponse.SERVING
        watching = server.health.Watch(HealthCheckRequest())
        assert (await watching.read()).status == HealthCheckResponse.SERVING
        watching.cancel()
        channel: Any = server.channel  # typed as if it had to be a blocking one
        stub: Any = ServerReflectionStub(channel)
        asked = ServerReflectionRequest(list_services="")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for _ in stub.ServerReflectionInfo(iter([asked])):
                pass
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        answers = [answer async for answer in stub.ServerReflectionInfo(iter([asked]), metadata=bearer(issuer.token()))]
        assert len(answers[0].list_services_response.service) == 3
