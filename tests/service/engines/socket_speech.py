"""The WebSocket text to speech engine at a scripted vendor, and how a test hears it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from avatar_service.engines.base import SpeechContext, SpeechPiece, Voice
from avatar_service.engines.elevenlabs_socket import ElevenLabsSocketSpeech
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.settings import ElevenLabsSettings, LimitSettings
from tests.service.engines.socket_vendor import Said, SocketVendor, socket_vendor

VOICE = Voice(
    "rachel", "eleven_multilingual_v2", stability=0.3, similarity_boost=0.6, style=0.1, speed=1.1, language="en-GB"
)
MOON, STARS = "The moon is near.", "And so are the stars."


@asynccontextmanager
async def speaking(
    *script: Said, statuses: Sequence[int] = (), output_format: str = "pcm_24000", **limits: Any
) -> AsyncIterator[tuple[ElevenLabsSocketSpeech, SocketVendor]]:
    async with (
        socket_vendor(*script, statuses=statuses) as serving,
        opened(serving.url, output_format, limits) as speech,
    ):
        yield speech, serving
    assert serving.open == 0, "a connection was left open"


@asynccontextmanager
async def opened(
    url: str, output_format: str = "pcm_24000", limits: dict[str, Any] | None = None
) -> AsyncIterator[ElevenLabsSocketSpeech]:
    """The engine at an address; the limits are short where a test does not need them long."""
    settings = ElevenLabsSettings.model_validate(
        {"base_url": url, "api_key": "sk-secret", "output_format": output_format, "transport": "websocket"}
    )
    limit_settings = LimitSettings.model_validate({"attempts": 1, "retry_wait_s": 0.01} | (limits or {}))
    http = ElevenLabsSpeech(settings, limit_settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avatar_service.engines.elevenlabs_sentence.TAIL_S", 0.05)
        try:
            async with ElevenLabsSocketSpeech(http, settings, limit_settings) as speech:
                yield speech
        finally:
            await http.aclose()


async def hear(turn: SpeechContext, text: str = MOON) -> list[SpeechPiece]:
    async with aclosing(turn.say(text, "")) as pieces:
        return [piece async for piece in pieces]


async def say(turn: SpeechContext, text: str = MOON) -> bytes:
    return b"".join(piece.pcm for piece in await hear(turn, text))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not holds():
            await asyncio.sleep(0.005)
