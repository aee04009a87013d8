"""Calls that show a credential, and what must hold where it is refused."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from avatar.v1 import ListAvatarsRequest, Status
from avatar_client.errors import StreamEnded
from avatar_client.sending import RequestSender
from avatar_service import metrics
from tests.nothing_private import listening
from tests.service.calls import Server
from tests.service.responses import DETAILS

Metadata = Sequence[tuple[str, str]]
WITHIN_S = 5.0
STREAMS = ("Converse", "Animate", "Speak", "CreateAvatar")
UNARY = ("ListAvatars", "GetAvatar", "DeleteAvatar", "ListVoices", "GetServerInfo")


class Garbage:
    """No message of the contract: where it is read, the call ends with INVALID_ARGUMENT."""

    def SerializeToString(self) -> bytes:  # noqa: N802  # as messages have it
        """Bytes that cannot be parsed."""
        return b"\xff\xff\xff"


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call was refused, and what the audit log tells of it."""

    code: grpc.StatusCode
    status: Status
    audited: dict[str, Any]

    @property
    def reason(self) -> str:
        """What the client branches on."""
        return self.status.error_info.reason

    @property
    def why(self) -> str:
        """What the operator alone is told."""
        return str(self.audited["why"])


def bearer(token: str) -> Metadata:
    """A token as metadata."""
    return (("authorization", f"Bearer {token}"),)


def api_key(key: str) -> Metadata:
    """A key as metadata."""
    return (("x-api-key", key),)


async def called(server: Server, metadata: Metadata = ()) -> list[str]:
    """The avatars that a caller sees: raises what refuses it."""
    listed = await server.stub.ListAvatars(ListAvatarsRequest(), metadata=metadata, timeout=WITHIN_S)
    return [avatar.name.removeprefix("avatars/") for avatar in listed.avatars]


def raw(channel: grpc.aio.Channel, method: str, metadata: Metadata) -> Any:
    """A call of any method as a stream of bytes, whose messages are what is written."""
    return channel.stream_stream(f"/avatar.v1.AvatarService/{method}")(metadata=metadata, timeout=WITHIN_S)


async def refusal(server: Server, metadata: Metadata, audit_log: Path, *secrets: str) -> Refusal:
    """A conversation is refused before a message of it was sent, and every method before one is read.

    None of the `secrets` is told anywhere.
    """
    before = len(lines(audit_log))
    with listening() as told:
        silent = raw(server.channel, "Converse", metadata)
        async with asyncio.timeout(WITHIN_S):
            code, status = await _end(silent)
        for method in (*STREAMS, *UNARY):
            call = raw(server.channel, method, metadata)
            with suppress(StreamEnded):  # it may be refused before that
                garbage: Any = Garbage()
                # gRPC's own `write` would then lose the status.
                await RequestSender(call, server.address).send(garbage)
            async with asyncio.timeout(WITHIN_S):
                assert (await _end(call))[0] is code, method
    audited = lines(audit_log)[before:]
    assert [line["method"] for line in audited] == ["Converse", *STREAMS, *UNARY]
    told_all = told.text + str(lines(audit_log)) + str(status)
    assert [secret for secret in secrets if secret in told_all] == []
    return Refusal(code, status, audited[0])


async def _end(call: Any) -> tuple[grpc.StatusCode, Status]:
    code = await call.code()
    details = dict(await call.trailing_metadata() or ())
    assert DETAILS in details, f"{code}: {await call.details()}"
    return code, Status.FromString(details[DETAILS])


def lines(audit_log: Path) -> list[dict[str, Any]]:
    """The audit log."""
    return [json.loads(line) for line in audit_log.read_text().splitlines()] if audit_log.exists() else []


def counted(proof: str, why: str) -> float:
    """How many calls were refused so."""
    return float(metrics.CREDENTIALS_REFUSED.labels(proof, why)._value.get())
