"""Transcription, chat and speech through our adapters, each alone and then in one turn of the whole service.

`make test` runs them against the sandbox. `make test-live` runs them against whatever the keys, base URLs and models of
the environment and of `.env` lead to, which costs less than a cent.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest

from avatar.v1 import UserAudio, UtteranceEnded, UtteranceStarted
from avatar_service.engines.base import ChatDelta, ChatOptions, Message, SpeechPiece, TranscriptionOptions, Voice
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.engines.openai_client import openai_client
from avatar_service.engines.openai_transcriber import OpenAITranscriber
from avatar_service.engines.silero_vad import SileroVad
from avatar_service.errors import StartupError
from avatar_service.media.types import Utterance
from avatar_service.sandbox.app import Sandbox
from avatar_service.sandbox.replay import Replay
from avatar_service.settings import ElevenLabsSettings, LimitSettings, OpenAISettings, Settings
from tests.chaos.playing import MANUAL, frames, outcome
from tests.chaos.system import KEY, running_system
from tests.conftest import LIVE_ENVIRONMENT

WORDS = "How far away is the moon?"
KNOWN = "moon"
"""A word that every ear understands."""
REPLY = ("The", " moon", " is", " near", ".")
TOKENS = 40
"""Longest reply, to spend little."""
MESSAGE_BYTES = 48_000
"""Voice in one message of the contract."""


@dataclass(frozen=True, slots=True)
class Vendors:
    """Where the vendors are, and how they are asked."""

    openai: OpenAISettings
    elevenlabs: ElevenLabsSettings
    limits: LimitSettings

    @property
    def voice(self) -> Voice:
        """The configured one."""
        return Voice(self.elevenlabs.voice_id, self.elevenlabs.model)


@pytest.fixture
def live(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Settings | None:
    """The user's own settings with `--live`; ends the run with a sentence if they lead to no vendor."""
    if not request.config.getoption("--live"):
        return None
    for name, value in request.config.stash[LIVE_ENVIRONMENT].items():
        monkeypatch.setenv(name, value)
    try:
        settings = Settings.load()
        settings.require_vendors()
    except StartupError as error:
        pytest.exit(f"there is nobody to ask: {error}", returncode=2)
    return settings


@asynccontextmanager
async def vendors(live: Settings | None) -> AsyncIterator[Vendors]:
    """The real ones, or the sandbox with its own voice in their place."""
    limits = LimitSettings.model_validate({})
    if live:
        yield Vendors(live.openai, live.elevenlabs, live.limits)
        return
    sandbox = Sandbox(replay=Replay(WORDS, REPLY, 0.0, 0.0))
    url = await sandbox.start("127.0.0.1", 0)
    try:
        await sandbox.loaded()
        openai, elevenlabs = ({"api_key": KEY, "base_url": f"{url}{path}"} for path in ("/openai/v1", "/elevenlabs"))
        yield Vendors(OpenAISettings.model_validate(openai), ElevenLabsSettings.model_validate(elevenlabs), limits)
    finally:
        await sandbox.aclose()


async def spoken(there: Vendors, text: str) -> list[SpeechPiece]:
    """What a text sounds like."""
    speech = ElevenLabsSpeech(there.elevenlabs, there.limits)
    try:
        async with speech.speaking(there.voice) as context, aclosing(context.say(text, "")) as pieces:
            return [piece async for piece in pieces]
    finally:
        await speech.aclose()


async def test_speech(live: Settings | None) -> None:
    async with vendors(live) as there:
        pieces = await spoken(there, WORDS)
    seconds = sum(len(piece.pcm) for piece in pieces) / 2 / there.elevenlabs.rate_hz
    assert 0.5 < seconds < 10.0
    timed = [character for piece in pieces for character in piece.characters]
    assert "".join(character.text for character in timed).split() == WORDS.split()
    assert all(0.0 <= character.start_s <= character.end_s <= seconds + 0.5 for character in timed)


async def test_transcription(live: Settings | None) -> None:
    async with vendors(live) as there:
        pcm = b"".join([piece.pcm for piece in await spoken(there, WORDS)])
        rate_hz = there.elevenlabs.rate_hz
        utterance = Utterance(1, pcm, rate_hz, 0.0, len(pcm) / 2 / rate_hz)
        async with openai_client(there.openai, there.limits) as client:
            options = TranscriptionOptions(there.openai.transcription_model, "en")
            text = await OpenAITranscriber(client, there.limits).transcribe(utterance, options)
    assert KNOWN in text.lower()


async def test_chat(live: Settings | None) -> None:
    options = ChatOptions("", TOKENS, 0.0)
    messages = [Message("system", "Answer in five words."), Message("user", WORDS)]
    async with vendors(live) as there, openai_client(there.openai, there.limits) as client:
        chat = OpenAIChat(client, there.limits)
        async with aclosing(chat.complete(messages, replace(options, model=there.openai.chat_model))) as reply:
            deltas: list[ChatDelta] = [delta async for delta in reply]
    assert "".join(delta.text for delta in deltas).strip()
    assert len([delta for delta in deltas if delta.text]) > 1, "the reply came in one piece"
    assert deltas[-1].finish_reason in ("stop", "length")
    assert deltas[-1].completion_tokens > 0


async def test_one_whole_turn(live: Settings | None, tmp_path: Path) -> None:
    """A question that is heard, answered, spoken and shown. Lips are not moved: that is Triton's, which is local."""
    async with vendors(live) as there:
        pcm = b"".join([piece.pcm for piece in await spoken(there, WORDS)])
        running = running_system(
            tmp_path,
            voice_activity=SileroVad(),
            openai=there.openai.model_dump(),
            elevenlabs=there.elevenlabs.model_dump(),
            limits=there.limits.model_dump(),
        )
        async with running as system:
            call = system.converse()
            await call.configure(
                turn_taking=MANUAL,
                input_audio={"sample_rate_hertz": there.elevenlabs.rate_hz},
                system_prompt="Answer in five words.",
                chat={"max_output_tokens": TOKENS},
            )
            await call.send(utterance_started=UtteranceStarted())
            for begin in range(0, len(pcm), MESSAGE_BYTES):
                await call.send(audio=UserAudio(data=pcm[begin : begin + MESSAGE_BYTES]))
            await call.send(utterance_ended=UtteranceEnded())
            async with asyncio.timeout(60.0):
                completed = await call.until("turn_completed")
            assert await call.finish() is grpc.StatusCode.OK
    assert outcome(completed) == "COMPLETED"
    assert not completed.degraded
    assert KNOWN in call.only("transcript").text.lower()
    assert completed.heard_text.split() == completed.generated_text.split() != []
    assert frames(call.responses, 1) > 0
