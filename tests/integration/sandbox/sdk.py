"""What the tests of this folder share: the vendors' own SDKs on a sandbox, the demo question, small helpers."""

import asyncio
import io
import re
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from elevenlabs.client import AsyncElevenLabs
from openai import AsyncOpenAI

from tests.integration.sandbox_fixture import KEY, VOICE_ID, RunningSandbox

ASSETS = Path(__file__).parents[3] / "avatar_service" / "local" / "assets"
QUESTION = (ASSETS / "demo_question.wav").read_bytes()
QUESTION_TEXT = (ASSETS / "demo_question.txt").read_text()
SPEECH_TEXT = "The capital of France is Paris. It is known for art, fashion, and culture."
PATIENCE_S = 30.0


@asynccontextmanager
async def openai_client(sandbox: RunningSandbox, key: str = KEY) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key=key, base_url=sandbox.openai_url, max_retries=0, timeout=PATIENCE_S) as client:
        yield client


@asynccontextmanager
async def elevenlabs_client(sandbox: RunningSandbox, key: str = KEY) -> AsyncIterator[AsyncElevenLabs]:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
        yield AsyncElevenLabs(api_key=key, base_url=sandbox.elevenlabs_url, httpx_client=http)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def sentences(text: str) -> list[str]:
    return re.findall(r"[^.!?]+[.!?]", text)


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def silent_wav(seconds: float, rate_hz: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(rate_hz)
        recording.writeframes(bytes(2 * round(seconds * rate_hz)))
    return buffer.getvalue()


async def speech(
    client: AsyncElevenLabs, text: str = SPEECH_TEXT, output_format: Any = "pcm_24000", **more: Any
) -> bytes:
    stream = client.text_to_speech.stream(VOICE_ID, text=text, output_format=output_format, **more)
    return b"".join([chunk async for chunk in stream])


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.02)
