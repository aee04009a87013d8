"""TLS all the way: the caller to Envoy, and Envoy to a service that takes nobody's word but a known proxy's."""

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from avatar_client import AsyncAvatarClient, ServiceError, tls_credentials
from tests.envoy import running_envoy
from tests.stack import running_stack
from tests.tls_files import GOOD, PROXY, write_tls_files

WITHIN_S = 5.0


async def test_the_service_takes_the_callers_certificate_from_envoy_and_from_nobody_else(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    write_tls_files(tls)
    env = {
        "AVATAR_TLS_CERT": str(tls / "tls.crt"),
        "AVATAR_TLS_KEY": str(tls / "tls.key"),
        "AVATAR_TLS_CLIENT_CA": str(tls / "ca.crt"),
        "AVATAR_TRUSTED_PROXIES": PROXY,
        "AVATAR_AUDIT_LOG": str(tmp_path / "audit.jsonl"),
    }
    good = tls_credentials(tls / "ca.crt", tls / "good.crt", tls / "good.key")
    async with (
        running_stack(services=1, env=env) as stack,
        running_envoy([stack.services[0].address], upstream_tls=True, tls=tls) as envoy,
        AsyncAvatarClient(envoy.mtls, credentials=good) as client,
        grpc.aio.insecure_channel(stack.services[0].address) as without_tls,
    ):
        checks: Any = health_pb2_grpc.HealthStub(without_tls)
        with pytest.raises(ServiceError) as refused:
            await client.delete_avatar("ada")  # bundled: no tenant's
        assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED
        with pytest.raises(grpc.aio.AioRpcError):
            await checks.Check(health_pb2.HealthCheckRequest(), timeout=WITHIN_S)
    line = json.loads((tmp_path / "audit.jsonl").read_text().splitlines()[-1])
    assert (line["tenant"], line["subject"], line["proof"]) == ("shop", GOOD, "certificate")
