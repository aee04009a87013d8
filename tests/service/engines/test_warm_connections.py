"""Connections that are opened ahead, over real sockets: a turn after a silence opens none of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest

from avatar_service.background import running
from avatar_service.engines.base import ChatOptions, Message, TranscriptionOptions, Voice
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.engines.openai_client import open_connection, openai_client
from avatar_service.engines.openai_transcriber import OpenAITranscriber
from avatar_service.engines.warm_connections import USABLE_S, WarmConnections
from avatar_service.media.types import Utterance
from avatar_service.settings import ElevenLabsSettings, LimitSettings, OpenAISettings
from tests.service.engines.vendor import Answer, Vendor, chunk, event, vendor

MODELS = Answer((b'{"object": "list", "data": []}',), content_type="application/json")
NO_LIST = Answer((b"<html>no such page</html>",), 404, "text/html")
TRANSCRIPT = Answer((b'{"text": "How far?"}',), content_type="application/json")
REPLY = Answer((chunk("Near."), chunk(finish_reason="stop"), event("[DONE]")), content_type="text/event-stream")
VOICE = Answer((b'{"audio_base64": "AAAAAAAA"}\n',), content_type="application/json")


class Vendors:
    """The engines of both vendors, over sockets."""

    def __init__(self, openai: Vendor, elevenlabs: Vendor) -> None:
        self.openai, self.elevenlabs = openai, elevenlabs
        limits = LimitSettings.model_validate({"attempts": 1})
        keys = {"api_key": "sk-secret"}
        self.client = openai_client(OpenAISettings.model_validate(keys | {"base_url": openai.url}), limits)
        settings = ElevenLabsSettings.model_validate(keys | {"base_url": elevenlabs.url})
        self.speech = ElevenLabsSpeech(settings, limits)
        self.transcriber, self.chat = OpenAITranscriber(self.client, limits), OpenAIChat(self.client, limits)
        self.connections = WarmConnections(
            {"openai": partial(open_connection, self.client), "elevenlabs": self.speech.open_connection}
        )

    async def answered(self, openai: int, elevenlabs: int) -> None:
        """Wait until so many requests were answered."""
        async with asyncio.timeout(10.0):
            while (len(self.openai.requests), len(self.elevenlabs.requests)) != (openai, elevenlabs) or (
                self.openai.open + self.elevenlabs.open
            ):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)  # the answers' last bytes, and a short silence

    async def turn(self) -> None:
        """What a turn asks the vendors for."""
        await self.transcriber.transcribe(
            Utterance(1, b"\x01\x02" * 1_600, 16_000, 0.0, 0.1), TranscriptionOptions("m")
        )
        async with aclosing(self.chat.complete([Message("user", "?")], ChatOptions("m", 10, 0.5))) as deltas:
            assert [delta async for delta in deltas]
        async with aclosing(self.speech.synthesize("Near.", Voice("rachel", "m"), "")) as pieces:
            assert [piece async for piece in pieces]


@asynccontextmanager
async def vendors(listed: Answer) -> AsyncIterator[Vendors]:
    async with AsyncExitStack() as stack:
        openai = await stack.enter_async_context(vendor(listed, TRANSCRIPT, REPLY))
        elevenlabs = await stack.enter_async_context(vendor(listed, VOICE))
        both = Vendors(openai, elevenlabs)
        stack.push_async_callback(both.client.close)
        stack.push_async_callback(both.speech.aclose)
        await stack.enter_async_context(running(both.connections.run()))
        yield both


@pytest.mark.parametrize("listed", [MODELS, NO_LIST], ids=["with a list of models", "without one"])
async def test_a_turn_runs_on_the_connections_that_were_opened_ahead(listed: Answer) -> None:
    async with vendors(listed) as both:
        both.connections.warm()
        await both.answered(1, 1)
        await both.turn()
    assert [request["path"] for request in both.openai.requests] == [
        "/models",
        "/audio/transcriptions",
        "/chat/completions",
    ]
    assert both.elevenlabs.requests[0]["path"] == "/v1/models"
    for served, key in ((both.openai, "authorization"), (both.elevenlabs, "xi-api-key")):
        assert len({request["peer"] for request in served.requests}) == 1, "a connection was opened in the turn"
        assert served.requests[0]["headers"][key].endswith("sk-secret")


async def test_both_clients_keep_an_idle_connection_for_two_minutes() -> None:
    async with vendors(MODELS) as both:
        bridge = cast(Any, both.speech._http)._transport
        for client in (both.client._client, bridge._client):
            pool = cast(Any, client)._transport._pool  # none of the libraries tells what it was given
            assert pool._keepalive_expiry == 120.0 >= 2 * USABLE_S
            assert pool._max_keepalive_connections >= 1_000
