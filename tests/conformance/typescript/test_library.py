"""The TypeScript library and the service: a connection that breaks, refusals, credentials, a slow reader."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar.v1 import (
    AvatarServiceServicer,
    ConverseResponse,
    Frame,
    SessionStarted,
    add_AvatarServiceServicer_to_server,
)
from tests.conformance.typescript.node import telling, told
from tests.issuer import AUDIENCE, ISSUER, Issuer
from tests.service.calls import serving
from tests.service.client.certificate import CERTIFICATE, KEY
from tests.service.client.proxy import proxied
from tests.service.client.test_survival import STORY, storyteller

CUTS = 2
LEAD_S = 1.0
"""How far the service sends ahead by default."""


def heard(events: list[dict[str, Any]]) -> str:
    """What a listener heard: the words of each turn that ended before its stream broke, and all of the last."""
    words: list[dict[str, Any]] = []
    said = ""
    for event in events:
        if event["type"] == "spokenText":
            words.append(event)
        if event["type"] == "connectionLost":
            said += "".join(word["text"] for word in words if word["endOffset"] <= event["played"])
            words.clear()
    return said + "".join(word["text"] for word in words)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_a_story_whose_connection_breaks_is_heard_whole_and_once(store: Path, *, reset: bool) -> None:
    cuts, words, events = CUTS, 0, []
    async with (
        serving(store, storyteller()) as server,
        proxied(server.address) as proxy,
        telling(proxy.address, "--text", "Tell me a story.") as telling_events,
    ):
        async for event in telling_events:
            events.append(event)
            words += event["type"] == "spokenText"
            if event["type"] == "spokenText" and cuts and words % 6 == 0:
                cuts -= 1
                proxy.cut(reset=reset)
    types = [event["type"] for event in events]
    assert (types.count("connectionLost"), types.count("resumed")) == (CUTS, CUTS), events[-1]
    assert " ".join(heard(events).split()) == STORY
    turns = [event["turnId"] for event in events if event["type"] == "turnStarted"]
    assert turns == sorted(set(turns))
    assert events[-2]["outcome"] == 1, "COMPLETED"


async def test_the_end_of_a_turn_that_is_lost_with_its_stream_comes_over_the_next(store: Path) -> None:
    events = []
    async with (
        serving(store, storyteller()) as server,
        proxied(server.address) as proxy,
        telling(proxy.address, "--text", "Tell me a story.") as telling_events,
    ):
        async for event in telling_events:
            events.append(event)
            if event["type"] == "replyFinished":
                proxy.hold_answers()
                await asyncio.sleep(LEAD_S + 0.5)  # the client plays all of it, and the service hears so
                proxy.cut()
    types = [event["type"] for event in events]
    assert [types.count(kind) for kind in ("turnStarted", "resumed", "turnCompleted")] == [1, 1, 1], events[-1]
    (end,) = [event for event in events if event["type"] == "turnCompleted"]
    assert (end["turnId"], end["outcome"], end["heardText"]) == (1, 1, STORY)


async def test_a_conversation_outlives_streams_that_reach_their_age(store: Path) -> None:
    ages = {"age_s": 1.0, "go_away_s": 0.6}
    async with serving(store, storyteller(), sessions=ages) as server:
        events = await told(server.address, "--text", "Tell me a story.")
    types = [event["type"] for event in events]
    assert "goAway" in types
    assert "resumed" in types
    assert " ".join(heard(events).split()) == STORY


async def test_a_refused_configuration_names_the_field(store: Path) -> None:
    async with serving(store) as server:
        (error,) = await told(server.address, "--config", json.dumps({"turnTaking": {"threshold": 2}}))
    assert error == {
        "type": "error",
        "code": "INVALID_ARGUMENT",
        "reason": "FIELD_INVALID",
        "field": "config.turn_taking.threshold",
        "message": error["message"],
    }
    assert "0.05" in error["message"]


async def test_a_full_service_says_when_to_come_again(store: Path) -> None:
    async with serving(store, max_sessions=1) as server:
        first = server.converse()
        await first.configure()
        (error,) = await told(server.address, "--text", "Hello?")
        await first.finish()
    assert (error["code"], error["reason"]) == ("RESOURCE_EXHAUSTED", "SESSIONS_EXHAUSTED")
    assert error["retryDelay"] > 0


async def test_tls_and_a_token_let_in_and_their_lack_is_named(store: Path, tmp_path: Path) -> None:
    issuer = Issuer()
    files = {"ca.pem": CERTIFICATE, "key.pem": KEY, "jwks.json": issuer.jwks().encode()}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    access = {
        "tls_certificate": str(tmp_path / "ca.pem"),
        "tls_key": str(tmp_path / "key.pem"),
        "jwks": str(tmp_path / "jwks.json"),
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
    }
    async with serving(store, access=access) as server:
        asking = (server.address, "--text", "Hello?", "--ca", str(tmp_path / "ca.pem"))
        events = await told(*asking, "--token", issuer.token())
        (refused,) = await told(*asking)
        (plain,) = await told(server.address, "--text", "Hello?")
    assert events[0]["type"] == "sessionStarted"
    assert "turnCompleted" in [event["type"] for event in events]
    assert (refused["code"], refused["reason"]) == ("UNAUTHENTICATED", "CREDENTIAL_MISSING")
    assert plain["code"] == "UNAVAILABLE"


class Flood(AvatarServiceServicer):
    """Sends frames as fast as they are taken."""

    def __init__(self) -> None:
        self.sent = 0

    async def Converse(self, request_iterator: Any, context: Any) -> None:  # noqa: N802  # gRPC's name
        await context.read()
        await context.write(ConverseResponse(session_started=SessionStarted(session_id="s")))
        for _ in range(2_000):
            await context.write(ConverseResponse(frame=Frame(data=bytes(40_000))))
            self.sent += 1


@asynccontextmanager
async def flooding() -> AsyncIterator[tuple[str, Flood]]:
    """A server that floods; yields its address."""
    server, flood = grpc.aio.server(), Flood()
    add_AvatarServiceServicer_to_server(flood, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}", flood
    await server.stop(None)


async def test_a_program_that_takes_nothing_slows_the_service_down() -> None:
    async with flooding() as (address, flood), telling(address, "--pause-ms", "2000") as events:
        while flood.sent < 256:
            await asyncio.sleep(0.01)
        before, after = -1, flood.sent
        while after != before:
            before = after
            await asyncio.sleep(0.3)
            after = flood.sent
        assert after <= 320, "256 events wait in the client, and what HTTP/2 lets through"
        frames = [event async for event in events if event["type"] == "frame"]
    assert len(frames) == 2_000
