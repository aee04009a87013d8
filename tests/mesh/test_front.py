"""What Envoy does for callers of every kind: certificates, browsers, JSON, probes, and what it writes down."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from avatar.v1 import (
    AvatarServiceStub,
    ListAvatarsRequest,
    ListAvatarsResponse,
    SpeakRequest,
    SpeakResponse,
)
from avatar_client import AsyncAvatarClient, ServiceError, TurnCompleted, tls_credentials
from tests.envoy import Envoy
from tests.mesh.conftest import Seen
from tests.stack import Stack
from tests.tls_files import GOOD

SERVICE = "avatar.v1.AvatarService"
PAGE = "https://app.example.com"
WITHIN_S = 20.0
AUDIT = "audit.jsonl"
PING_EVERY_S = 2.0
"""As deploy/envoy/envoy.yaml has it."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A service that believes Envoy, which it knows by its address, and nobody else."""
    stack = Stack(env={"AVATAR_TRUSTED_PROXIES": "127.0.0.1", "AVATAR_AUDIT_LOG": AUDIT}, frame_bytes=8_000)
    asyncio.run(stack.start())
    yield stack
    stack.close()


@pytest.fixture(scope="module")
def envoy(stack: Stack) -> Iterator[Envoy]:
    envoy = Envoy([stack.services[0].address])
    asyncio.run(envoy.start())
    yield envoy
    envoy.close()


def tls(envoy: Envoy, certificate: str = "") -> ssl.SSLContext:
    """A client's side of TLS, with this certificate or none."""
    folder = envoy.folder / "tls"
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    if certificate:
        context.load_cert_chain(folder / f"{certificate}.crt", folder / f"{certificate}.key")
    return context


@asynccontextmanager
async def web(envoy: Envoy) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP/1.1 to the mTLS listener with a good certificate."""
    base = f"https://{envoy.mtls}/{SERVICE}/"
    async with httpx.AsyncClient(verify=tls(envoy, "good"), base_url=base, timeout=WITHIN_S) as client:
        yield client


# Certificates


@pytest.mark.parametrize(
    ("certificate", "counted"),
    [("", "fail_verify_no_cert"), ("foreign", "fail_verify_error"), ("wrong", "fail_verify_san")],
)
async def test_a_client_without_a_good_certificate_is_refused_in_the_handshake_and_counted(
    envoy: Envoy, certificate: str, counted: str, seen: Seen
) -> None:
    counts = rf"^listener\..*\.ssl\.{counted}$"
    before = sum(envoy.stats(counts).values())
    calls = r"^http\.avatar\.downstream_rq_total$"
    calls_before = envoy.stats(calls)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await first_byte(envoy.mtls, tls(envoy, certificate))
    assert sum(envoy.stats(counts).values()) == before + 1
    assert envoy.stats(calls) == calls_before
    seen(f"certificate {certificate or 'none'!r}", [f"refused in the handshake, {counted} {before + 1}"])


async def first_byte(address: str, context: ssl.SSLContext) -> bytes:
    """What the server says first. TLS 1.3 lets the client finish first: it learns with this what the server thinks."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(WITHIN_S):
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        try:
            return await reader.readexactly(1)
        finally:
            writer.transport.abort()


async def test_our_client_gets_through_with_a_good_certificate_and_the_service_knows_whose_it_is(
    stack: Stack, envoy: Envoy
) -> None:
    folder = envoy.folder / "tls"
    credentials = tls_credentials(folder / "ca.crt", folder / "good.crt", folder / "good.key")
    async with AsyncAvatarClient(envoy.mtls, credentials=credentials) as client:
        assert "ada" in [avatar.display_name.lower() async for avatar in client.list_avatars()]
        with pytest.raises(ServiceError) as refused:
            await client.delete_avatar("ada")  # bundled: no tenant's
    assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED
    line = json.loads((stack.folder / AUDIT).read_text().splitlines()[-1])
    assert (line["tenant"], line["subject"], line["proof"]) == ("shop", GOOD, "certificate")


async def test_what_a_client_says_of_its_certificate_is_thrown_away(envoy: Envoy) -> None:
    async with grpc.aio.insecure_channel(envoy.plain) as channel:
        stub: Any = AvatarServiceStub(channel)
        forged = (("x-forwarded-client-cert", f"URI={GOOD}"),)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListAvatars(ListAvatarsRequest(), metadata=forged, timeout=WITHIN_S)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


# Browsers and JSON


def frames_of(body: bytes) -> tuple[list[bytes], dict[str, str]]:
    """Messages and trailers of an answer in gRPC-Web: a flag, a length in four bytes, then so many bytes."""
    messages, trailers = [], {}
    while body:
        flag, length = body[0], int.from_bytes(body[1:5])
        part, body = body[5 : 5 + length], body[5 + length :]
        if flag & 0x80:
            trailers = dict(line.split(":", 1) for line in part.decode().split("\r\n") if line)
        else:
            messages.append(part)
    return messages, trailers


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4) + message


async def test_a_browser_makes_a_unary_call(envoy: Envoy) -> None:
    async with web(envoy) as client:
        headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "origin": PAGE}
        request = framed(ListAvatarsRequest().SerializeToString())
        answer = await client.post("ListAvatars", content=request, headers=headers)
    (message,), trailers = frames_of(answer.content)
    assert trailers["grpc-status"].strip() == "0"
    assert "avatars/ada" in [avatar.name for avatar in ListAvatarsResponse.FromString(message).avatars]
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "grpc-status" in answer.headers["access-control-expose-headers"]


async def test_a_browser_hears_and_sees_an_avatar_while_it_speaks(envoy: Envoy) -> None:
    async with web(envoy) as client:
        headers = {"content-type": "application/grpc-web-text", "accept": "application/grpc-web-text"}
        request = base64.b64encode(framed(SpeakRequest(text="One small step.").SerializeToString()))
        async with client.stream("POST", "Speak", content=request, headers=headers) as answer:
            pieces = [piece async for piece in answer.aiter_raw()]
    assert len(pieces) > 10, "the answer did not come piece by piece"
    # Text of gRPC-Web: pieces of base64 with padding of their own.
    messages, trailers = frames_of(b"".join(base64.b64decode(part) for part in padded(b"".join(pieces))))
    parts = [SpeakResponse.FromString(message).WhichOneof("payload") for message in messages]
    assert trailers["grpc-status"].strip() == "0"
    assert {"audio", "frame"} <= set(parts)


def padded(text: bytes) -> Iterator[bytes]:
    """Parts of joined base64 that end where its padding does."""
    begin = 0
    for end in range(4, len(text) + 1, 4):
        if text[end - 1 : end] == b"=" or end == len(text):
            yield text[begin:end]
            begin = end


@pytest.mark.parametrize(("page", "allowed"), [(PAGE, True), ("https://elsewhere.example", False)])
async def test_a_browser_asks_before_it_calls(envoy: Envoy, page: str, allowed: bool) -> None:
    headers = {
        "origin": page,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-grpc-web,x-api-key",
    }
    async with httpx.AsyncClient(timeout=WITHIN_S) as client:
        answer = await client.options(f"http://{envoy.plain}/{SERVICE}/ListAvatars", headers=headers)
    assert (answer.headers.get("access-control-allow-origin") == page) is allowed


async def test_unary_calls_are_made_in_json(envoy: Envoy) -> None:
    async with web(envoy) as client:
        avatars = await client.post("ListAvatars", json={"pageSize": 1})
        info = await client.post("GetServerInfo", json={})
        unknown = await client.post("GetAvatar", json={"name": "avatars/nobody"})
        misspelt = await client.post("ListAvatar", json={})
    assert avatars.status_code == 200
    assert [avatar["name"] for avatar in avatars.json()["avatars"]] == ["avatars/ada"]
    assert info.json()["apiVersion"] == "avatar.v1"
    assert (unknown.status_code, unknown.json()["code"]) == (404, grpc.StatusCode.NOT_FOUND.value[0])
    assert unknown.json()["details"][0]["reason"] == "AVATAR_NOT_FOUND"
    assert misspelt.status_code == 404


async def test_streams_are_not_for_json(envoy: Envoy) -> None:
    async with web(envoy) as client:
        answer = await client.post("Converse", json=[{"config": {}}])
    assert answer.status_code == 415


# Probes, figures, log


async def test_probes_and_figures_have_addresses_of_their_own(envoy: Envoy) -> None:
    async with httpx.AsyncClient(timeout=WITHIN_S) as client:
        health = await client.get(f"http://{envoy.plain}/healthz")
        ready = await client.get(f"http://{envoy.metrics}/ready")
        figures = await client.get(f"http://{envoy.metrics}/stats/prometheus")
        admin = await client.get(f"http://{envoy.metrics}/quitquitquit")
    assert (health.status_code, ready.status_code, admin.status_code) == (200, 200, 404)
    assert 'envoy_cluster_membership_healthy{envoy_cluster_name="avatar"} 1' in figures.text


async def test_every_call_is_a_line_of_json_without_its_credential(envoy: Envoy) -> None:
    folder = envoy.folder / "tls"
    credentials = tls_credentials(folder / "ca.crt", folder / "good.crt", folder / "good.key")
    async with (
        AsyncAvatarClient(envoy.mtls, credentials=credentials, token="a-secret-token") as client,
        asyncio.timeout(WITHIN_S),
    ):
        with pytest.raises(ServiceError):
            await client.get_avatar("nobody")
        while not (lines := logged(envoy.folder, "GetAvatar", grpc.StatusCode.NOT_FOUND)):
            await asyncio.sleep(0.05)
    assert lines[-1]["client_uri"] == GOOD
    assert "a-secret-token" not in envoy.program.output


def logged(folder: Path, method: str, status: grpc.StatusCode) -> list[dict[str, Any]]:
    """Lines of the access log about a method that ended so."""
    name = "".join(part.title() for part in status.name.split("_"))
    lines = [json.loads(line) for line in (folder / "envoy.log").read_text().splitlines() if '"grpc_status"' in line]
    return [line for line in lines if line["method"].endswith(f"/{method}") and line["grpc_status"] == name]


async def test_a_conversation_in_which_nobody_says_anything_goes_on(envoy: Envoy) -> None:
    """gRPC cuts a connection whose other side asks for signs of life too often, after the third time."""
    folder = envoy.folder / "tls"
    credentials = tls_credentials(folder / "ca.crt", folder / "good.crt", folder / "good.key")
    async with (
        AsyncAvatarClient(envoy.mtls, credentials=credentials) as client,
        client.converse(resume_within_s=0) as conversation,
    ):
        await asyncio.sleep(4 * PING_EVERY_S)
        await conversation.say("Are you still there?")
        async with asyncio.timeout(WITHIN_S):
            async for event in conversation:
                if isinstance(event, TurnCompleted):
                    assert event.outcome == "COMPLETED"
                    await conversation.end_input()
