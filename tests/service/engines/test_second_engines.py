"""Second engines as the settings ask for them, over sockets."""

import base64
import json
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
from structlog.testing import capture_logs

from avatar_service.engines.base import ChatOptions, Message, TranscriptionOptions, Voice
from avatar_service.engines.wiring import VendorEngines, open_vendors
from avatar_service.errors import EngineRejected, Fault
from avatar_service.media.types import Utterance
from avatar_service.settings import Settings
from tests.service.engines.vendor import Answer, Vendor, chunk, vendor

UTTERANCE = Utterance(1, bytes(3_200), 16_000, 0.0, 0.1)
PCM = bytes(range(256)) * 4
REFUSED = Answer(
    (b'{"error": {"code": "invalid_api_key"}, "detail": {"status": "invalid_api_key"}}',), 401, "application/json"
)
TRANSCRIPT = Answer((b'{"text": "Is it near?"}',), content_type="application/json")
REPLY = Answer((chunk("Yes."), chunk(finish_reason="stop")), content_type="text/event-stream")
VOICE = Answer((json.dumps({"audio_base64": base64.b64encode(PCM).decode()}).encode() + b"\n",))


class Vendors:
    """First and second server of each kind, and the engines that ask them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._stack = AsyncExitStack()
        self.servers: dict[str, Vendor] = {}

    async def open(self, **answers: Answer) -> VendorEngines:
        """Serve an answer under each name of an environment prefix, and open the engines for them."""
        for name, answer in answers.items():
            self.servers[name] = await self._stack.enter_async_context(vendor(answer))
            path = "/v1" if name.endswith("OPENAI") else ""
            self._monkeypatch.setenv(f"AVATAR_{name}_BASE_URL", self.servers[name].url + path)
            self._monkeypatch.setenv(f"AVATAR_{name}_API_KEY", f"key-of-{name}")
        return await self._stack.enter_async_context(open_vendors(Settings.load(env_file=None)))

    async def __aenter__(self) -> "Vendors":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def asked(self, name: str) -> list[dict[str, Any]]:
        """The requests that came to a server."""
        return self.servers[name].requests


async def transcribed(engines: VendorEngines) -> str:
    return await engines.transcriber.transcribe(UTTERANCE, TranscriptionOptions("whisper-1"))


async def replied(engines: VendorEngines) -> str:
    async with aclosing(
        engines.chat.complete([Message("user", "Is it near?")], ChatOptions("m-1", 150, 0.7))
    ) as deltas:
        return "".join([delta.text async for delta in deltas])


async def said(engines: VendorEngines) -> bytes:
    async with (
        engines.speech.speaking(Voice("rachel", "v-1")) as turn,
        aclosing(turn.say("Yes.", "")) as pieces,
    ):
        return b"".join([piece.pcm async for piece in pieces])


async def test_a_second_openai_is_asked_with_its_own_key_and_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATAR_SECOND_OPENAI_CHAT_MODEL", "m-2")
    async with Vendors(monkeypatch) as vendors:
        engines = await vendors.open(OPENAI=REFUSED, SECOND_OPENAI=REPLY, ELEVENLABS=VOICE)
        with capture_logs() as lines:
            assert await replied(engines) == "Yes."
        (second,) = vendors.asked("SECOND_OPENAI")
        assert second["headers"]["Authorization"] == "Bearer key-of-SECOND_OPENAI"
        assert second["fields"]["model"] == "m-2"
        assert vendors.asked("OPENAI")[0]["fields"]["model"] == "m-1"
    (line,) = [line for line in lines if line["event"] == "fell_back"]
    assert (line["stage"], line["engine"], line["to"]) == ("think", "openai", "openai-2")


async def test_a_second_transcription_is_asked_for_the_same_model_unless_it_has_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Vendors(monkeypatch) as vendors:
        engines = await vendors.open(OPENAI=REFUSED, SECOND_OPENAI=TRANSCRIPT, ELEVENLABS=VOICE)
        assert await transcribed(engines) == "Is it near?"
        assert vendors.asked("SECOND_OPENAI")[0]["fields"]["model"] == "whisper-1"


async def test_a_second_elevenlabs_speaks_in_its_own_voice_and_the_same_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATAR_SECOND_ELEVENLABS_VOICE_ID", "adam")
    monkeypatch.setenv("AVATAR_ELEVENLABS_OUTPUT_FORMAT", "pcm_16000")
    async with Vendors(monkeypatch) as vendors:
        engines = await vendors.open(OPENAI=REPLY, ELEVENLABS=REFUSED, SECOND_ELEVENLABS=VOICE)
        assert await said(engines) == PCM
        assert engines.speech.rate_hz == 16_000
        (second,) = vendors.asked("SECOND_ELEVENLABS")
    assert "/adam/" in second["path"]
    assert second["query"]["output_format"] == "pcm_16000"
    assert second["headers"]["xi-api-key"] == "key-of-SECOND_ELEVENLABS"


async def test_a_wrong_second_key_is_told_by_its_own_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"OPENAI": REFUSED, "SECOND_OPENAI": REFUSED, "ELEVENLABS": REFUSED, "SECOND_ELEVENLABS": REFUSED}
    async with Vendors(monkeypatch) as vendors:
        engines = await vendors.open(**answers)
        for ask, name in ((replied, "OPENAI"), (transcribed, "OPENAI"), (said, "ELEVENLABS")):
            with pytest.raises(EngineRejected) as raised:
                await ask(engines)
            assert raised.value.fault is Fault.AUTHENTICATION
            assert f"AVATAR_SECOND_{name}_API_KEY" in raised.value.advice
        assert [len(vendors.asked(name)) for name in answers] == [2, 2, 1, 1], "nothing is tried again"


async def test_without_these_settings_there_is_one_engine_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Vendors(monkeypatch) as vendors:
        engines = await vendors.open(OPENAI=REFUSED, ELEVENLABS=REFUSED)
        for ask in (replied, transcribed, said):
            with pytest.raises(EngineRejected):
                await ask(engines)
        assert len(vendors.asked("OPENAI")) == 2
        assert len(vendors.asked("ELEVENLABS")) == 1
