"""The WebSockets to ElevenLabs: who has which, what keeps them open, and what closes them."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from avatar_service.engines import elevenlabs_pool
from avatar_service.engines.wiring import open_vendors
from avatar_service.errors import EngineUnavailable
from avatar_service.settings import Settings
from tests.measuring import Growth
from tests.service.engines.socket_speech import MOON, STARS, VOICE, hear, opened, say, speaking, until
from tests.service.engines.socket_vendor import pcm, socket_vendor, voice


async def test_turns_at_the_same_time_have_connections_of_their_own_which_later_turns_take_over() -> None:
    async with speaking(voice(MOON)) as (speech, serving):
        async with AsyncExitStack() as stack:
            turns = [await stack.enter_async_context(speech.speaking(VOICE)) for _ in range(3)]
            assert await asyncio.gather(*map(say, turns)) == [pcm(0.22)] * 3
        assert len(serving.connections) == 3
        for _ in range(3):
            async with speech.speaking(VOICE) as turn:
                assert await say(turn) == pcm(0.22)
    assert len(serving.connections) == 3


async def test_more_connections_than_a_process_may_have_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elevenlabs_pool, "MOST_CONNECTIONS", 1)
    async with (
        speaking(voice(MOON)) as (speech, serving),
        speech.speaking(VOICE) as first,
        speech.speaking(VOICE) as second,
    ):
        assert await say(first) == pcm(0.22)
        with pytest.raises(EngineUnavailable, match="1 connections are open"):
            await say(second)
    assert len(serving.connections) == 1


async def test_another_voice_or_language_has_a_connection_of_its_own_and_other_settings_do_not() -> None:
    async with speaking(voice(MOON)) as (speech, serving):
        for changes in ({}, {"voice_id": "george"}, {"language": "de"}, {"speed": 0.9}):
            async with speech.speaking(replace(VOICE, **changes)) as turn:
                assert await say(turn) == pcm(0.22)
    assert len(serving.connections) == 3
    assert [first["voice_settings"]["speed"] for first in serving.connections[0].of("voice_settings")] == [1.1, 0.9]


async def test_a_connection_with_many_contexts_that_are_not_over_takes_no_more() -> None:
    async with speaking(voice(MOON)) as (speech, serving):
        serving.ends_contexts = False
        for _ in range(5):
            async with speech.speaking(VOICE) as turn:
                assert await say(turn) == pcm(0.22)
    contexts = [len(connection.of("voice_settings")) for connection in serving.connections]
    assert contexts == [4, 1], "the vendor closes a connection with a sixth one, and a keep-alive may count as one"


async def test_a_connection_is_opened_ahead_once_and_the_next_turn_has_it() -> None:
    async with speaking(voice(MOON)) as (speech, serving):
        await speech.open_connection()
        await speech.open_connection()
        async with speech.speaking(replace(VOICE, voice_id=speech.settings.voice_id, language="")) as turn:
            assert await say(turn) == pcm(0.22)
        assert len(serving.connections) == 1


async def test_silence_is_kept_alive_in_the_context_that_is_open_or_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("avatar_service.engines.elevenlabs_socket.KEEP_ALIVE_S", 0.05)
    async with speaking(voice(MOON)) as (speech, serving):
        async with speech.speaking(VOICE) as turn:
            await hear(turn)
            await until(lambda: {"text": "", "context_id": "turn-1"} in serving.connections[0].messages)
        await until(lambda: {"text": ""} in serving.connections[0].messages)
        async with speech.speaking(VOICE) as turn:
            assert await say(turn) == pcm(0.22)
    (connection,) = serving.connections
    closed = connection.messages.index({"context_id": "turn-1", "close_context": True})
    assert {"text": "", "context_id": "turn-1"} not in connection.messages[closed:], "it would begin the context again"


async def test_a_connection_that_nobody_needs_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar_service.engines.elevenlabs_socket.KEEP_ALIVE_S", 0.02)
    monkeypatch.setattr(elevenlabs_pool, "IDLE_S", 0.1)
    async with speaking(voice(MOON)) as (speech, serving):
        async with speech.speaking(VOICE) as turn:
            await hear(turn)
        await until(lambda: serving.open == 0)
        assert serving.connections[0].messages[-1] == {"close_socket": True}


async def test_a_connection_that_the_vendor_closed_in_silence_costs_no_attempt() -> None:
    async with speaking(replace(voice(MOON), close=1000), voice(STARS)) as (speech, serving):
        async with speech.speaking(VOICE) as turn:
            await hear(turn)
        async with speech.speaking(VOICE) as turn:
            assert await say(turn, STARS) == pcm(0.26)
    assert len(serving.connections) == 2


async def test_the_setting_chooses_it_and_a_turn_that_is_near_finds_its_connection_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with socket_vendor(voice(MOON)) as serving:
        for name, value in {
            "AVATAR_OPENAI_BASE_URL": f"{serving.url}/v1",
            "AVATAR_ELEVENLABS_BASE_URL": serving.url,
            "AVATAR_ELEVENLABS_API_KEY": "sk-secret",
            "AVATAR_ELEVENLABS_VOICE_ID": "rachel",
            "AVATAR_ELEVENLABS_TRANSPORT": "websocket",
        }.items():
            monkeypatch.setenv(name, value)
        async with open_vendors(Settings.load(env_file=None)) as engines:
            opened_ahead = Growth()
            engines.connections.warm()
            labels = {"stage": "warm", "engine": "elevenlabs", "outcome": "ok"}
            await until(lambda: opened_ahead("avatar_engine_attempts_total", **labels) == 1)
            async with engines.speech.speaking(replace(VOICE, language="")) as turn:
                assert await say(turn) == pcm(0.22)
        assert len(serving.connections) == 1
        await until(lambda: serving.open == 0)


@pytest.mark.parametrize(
    ("base_url", "begins"),
    [
        ("", "wss://api.elevenlabs.io/v1/text-to-speech/a%2Fb/multi-stream-input?"),
        ("https://vendor.example/eleven/", "wss://vendor.example/eleven/v1/text-to-speech/a%2Fb/multi-stream-input?"),
        ("http://127.0.0.1:8090/elevenlabs", "ws://127.0.0.1:8090/elevenlabs/v1/text-to-speech/a%2Fb/multi-stream-"),
    ],
)
async def test_where_the_socket_is_follows_from_where_the_api_is(base_url: str, begins: str) -> None:
    async with opened(base_url) as speech:
        address = speech.address(replace(VOICE, voice_id="a/b"))
    assert address.startswith(begins)
    assert "sk-secret" not in address
