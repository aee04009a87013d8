"""TLS on the port, with and without certificates of the clients."""

import asyncio
import os
import shutil
import socket
import ssl
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import UniformResourceIdentifier

from avatar_client import tls_credentials
from avatar_service import metrics
from avatar_service.access import watched_file
from avatar_service.errors import StartupError
from tests.service.access.calling import called, lines, raw, refusal
from tests.service.calls import Server, channel_to, serving
from tests.tls_files import GOOD, Authority, write_tls_files

FAILS_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    write_tls_files(folder)
    return folder


def access_of(files: Path, tmp_path: Path, *, mutual: bool = True, **more: Any) -> dict[str, Any]:
    pems = {"tls_certificate": str(files / "tls.crt"), "tls_key": str(files / "tls.key")}
    asked = {"client_ca": str(files / "ca.crt")} if mutual else {}
    return pems | asked | {"audit_log": str(tmp_path / "audit.jsonl")} | more


def shown(files: Path, name: str = "", ca: Path | None = None) -> grpc.ChannelCredentials:
    """What a client shows: the certificate of a name, or none."""
    own = (files / f"{name}.crt", files / f"{name}.key") if name else (None, None)
    return tls_credentials(ca or files / "ca.crt", *own)


def handshakes() -> tuple[float, float]:
    """Handshakes begun, and connections that had a call."""
    return metrics.TLS_HANDSHAKES._value.get(), metrics.TLS_CONNECTIONS._value.get()


async def fails_to_connect(server: Server, credentials: grpc.ChannelCredentials | None) -> None:
    """No call gets through, in whatever state gRPC then is."""
    async with channel_to(server.address, credentials) as channel:
        call = raw(channel, "Converse", ())
        async with asyncio.timeout(FAILS_WITHIN_S):
            assert await call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


async def test_a_port_with_tls_takes_no_plain_text(store: Path, tmp_path: Path, files: Path) -> None:
    access = access_of(files, tmp_path, mutual=False)
    async with serving(store, access=access, credentials=shown(files)) as server:
        assert await called(server) == ["ada", "bo"]
        await fails_to_connect(server, None)


async def test_a_certificate_of_the_authority_is_let_in_as_its_tenant(store: Path, tmp_path: Path, files: Path) -> None:
    before = handshakes()
    async with serving(store, access=access_of(files, tmp_path), credentials=shown(files, "good")) as server:
        assert await called(server) == ["ada", "bo"]
        assert await called(server) == ["ada", "bo"]
    begun, served = (now - then for now, then in zip(handshakes(), before, strict=True))
    assert (begun, served) == (1, 1)


@pytest.mark.parametrize("name", ["", "foreign"])
async def test_without_a_certificate_or_with_anothers_the_handshake_fails_and_is_counted(
    store: Path, tmp_path: Path, files: Path, name: str
) -> None:
    async with serving(store, access=access_of(files, tmp_path), credentials=shown(files, "good")) as server:
        before = handshakes()
        await fails_to_connect(server, shown(files, name))
        begun, served = (now - then for now, then in zip(handshakes(), before, strict=True))
        assert begun >= 1
        assert served == 0
        assert lines(tmp_path / "audit.jsonl") == []
        assert await called(server) == ["ada", "bo"]


async def test_a_certificate_whose_name_has_no_tenant_is_refused(store: Path, tmp_path: Path, files: Path) -> None:
    access = access_of(files, tmp_path, tenants="spiffe://mesh.local/tenant/{tenant}/**")
    async with serving(store, access=access, credentials=shown(files, "wrong")) as server:
        refused = await refusal(server, (), tmp_path / "audit.jsonl")
    assert (refused.reason, refused.why) == ("CREDENTIAL_INVALID", "no_tenant")
    assert refused.audited["proof"] == "certificate"


async def test_a_renewed_certificate_is_shown_without_a_restart(
    store: Path, tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_file, "LOOK_S", 0.0)
    mine, renewed = tmp_path / "mine", tmp_path / "renewed"
    shutil.copytree(files, mine)
    write_tls_files(renewed)
    access = access_of(mine, tmp_path)
    async with serving(store, access=access, credentials=shown(files, "good")) as server:
        assert await called(server) == ["ada", "bo"]
        os.replace(renewed / "tls.crt", mine / "tls.crt")
        await _is_served(server, shown(files, "good"))  # with the old ones: the key is not yet there
        assert metrics.CREDENTIAL_SOURCES_OK.labels("certificate")._value.get() == 0
        os.replace(renewed / "tls.key", mine / "tls.key")
        await fails_to_connect(server, shown(files, "good"))
        await _is_served(server, shown(files, "good", renewed / "ca.crt"))
        assert metrics.CREDENTIAL_SOURCES_OK.labels("certificate")._value.get() == 1
        shutil.copy(renewed / "ca.crt", mine / "ca.crt")
        await fails_to_connect(server, shown(files, "good", renewed / "ca.crt"))
        await _is_served(server, shown(renewed, "good"))
        assert await called(server) == ["ada", "bo"]  # what is connected stays


async def _is_served(server: Server, credentials: grpc.ChannelCredentials) -> None:
    async with channel_to(server.address, credentials) as channel:
        assert await called(Server(server.address, channel, server.fakes, server.running)) == ["ada", "bo"]


@pytest.mark.parametrize("wrong", ["tls_certificate", "tls_key", "client_ca"])
async def test_files_that_are_no_certificates_stop_the_start(
    store: Path, tmp_path: Path, files: Path, wrong: str
) -> None:
    for content, told in ((b"-----BEGIN", "are no certificate"), (None, "cannot read")):
        path = tmp_path / "wrong"
        path.unlink(missing_ok=True)
        if content:
            path.write_bytes(content)
        with pytest.raises(StartupError, match=rf"AVATAR_TLS_CERT, .*{told}"):
            async with serving(store, access=access_of(files, tmp_path) | {wrong: str(path)}):
                pass


@pytest.mark.parametrize(("version", "taken"), [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)])
async def test_tls_before_1_2_is_not_spoken(
    store: Path, tmp_path: Path, files: Path, version: ssl.TLSVersion, taken: bool
) -> None:
    async with serving(store, access=access_of(files, tmp_path, mutual=False)) as server:
        spoken = await asyncio.to_thread(_speaks, server.address, files / "ca.crt", version)
    assert spoken is taken


def _speaks(address: str, ca: Path, version: ssl.TLSVersion) -> bool:
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1") if version < ssl.TLSVersion.TLSv1_2 else nullcontext():
        context.minimum_version = context.maximum_version = version
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5.0) as connection:
        try:
            with context.wrap_socket(connection, server_hostname="localhost"):
                return True
        except (ssl.SSLError, ConnectionError):
            return False


async def test_the_header_of_a_proxy_is_believed_by_its_certificate_alone(
    store: Path, tmp_path: Path, files: Path
) -> None:
    proxy = "spiffe://mesh.local/edge"
    authority = Authority.new("mesh")
    (tmp_path / "clients.crt").write_bytes(
        (files / "ca.crt").read_bytes() + authority.certificate.public_bytes(Encoding.PEM)
    )
    authority.write(tmp_path, "proxy", UniformResourceIdentifier(proxy))
    access = access_of(files, tmp_path, client_ca=str(tmp_path / "clients.crt"), trusted_proxies=proxy)
    header = (("x-forwarded-client-cert", "URI=spiffe://mesh.local/tenant/bank/web"),)
    proxys = tls_credentials(files / "ca.crt", tmp_path / "proxy.crt", tmp_path / "proxy.key")
    async with serving(store, access=access, credentials=proxys) as server:
        assert await called(server, header) == ["ada", "bo"]
        refused = await refusal(server, (), tmp_path / "audit.jsonl")
        assert refused.reason == "CREDENTIAL_MISSING"
        async with channel_to(server.address, shown(files, "good")) as channel:
            other = Server(server.address, channel, server.fakes, server.running)
            assert await called(other, header) == ["ada", "bo"]  # as itself
    ignored = lines(tmp_path / "audit.jsonl")[-1]
    assert (ignored["event"], ignored["why"]) == ("forwarded_certificate_ignored", "untrusted_peer")
    assert GOOD not in str(ignored)


async def test_the_header_of_a_peer_that_is_not_on_the_list_is_not_read(store: Path, tmp_path: Path) -> None:
    access = {"trusted_proxies": "192.0.2.0/24", "audit_log": str(tmp_path / "audit.jsonl")}
    header = (("x-forwarded-client-cert", "URI=spiffe://mesh.local/tenant/shop/web"),)
    async with serving(store, access=access) as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await called(server, header)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    ignored, missing = lines(tmp_path / "audit.jsonl")
    assert (ignored["event"], ignored["why"]) == ("forwarded_certificate_ignored", "untrusted_peer")
    assert (missing["event"], missing["why"]) == ("credential_refused", "missing")
