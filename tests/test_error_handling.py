"""What the vendors' errors become, how often a request is tried, and what a user has when a vendor fails for good."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest

from avatar.v1 import Code
from avatar_service.engines.base import ChatOptions, Message, TranscriptionOptions, Voice
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.engines.openai_client import openai_client
from avatar_service.engines.openai_transcriber import OpenAITranscriber
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable, Fault
from avatar_service.media.types import Utterance
from avatar_service.sandbox.app import Sandbox
from avatar_service.settings import ElevenLabsSettings, LimitSettings, OpenAISettings
from tests.chaos.playing import ask, opened, outcome, reasons, works
from tests.chaos.system import APOLOGY, KEY, WHOLE_REPLY, System, counted, running_system, script
from tests.nothing_private import listening

Rule = Mapping[str, Any]
QUICK: Mapping[str, Any] = {"retry_wait_s": 0.01, "first_output_s": 0.3}
NOBODY = "http://127.0.0.1:1"
"""An address at which nothing listens."""


@dataclass(frozen=True, slots=True)
class Asking:
    """The adapters, and the sandbox that they ask."""

    sandbox: Sandbox
    url: str
    limits: LimitSettings
    key: str = KEY
    address: str = ""

    async def transcribe(self) -> None:
        """A second of sound."""
        settings = self._openai()
        async with openai_client(settings, self.limits) as client:
            utterance = Utterance(1, bytes(32_000), 16_000, 0.0, 1.0)
            await OpenAITranscriber(client, self.limits).transcribe(utterance, TranscriptionOptions("whisper-1"))

    async def chat(self) -> None:
        """A question."""
        async with openai_client(self._openai(), self.limits) as client:
            reply = OpenAIChat(client, self.limits).complete([Message("user", "?")], ChatOptions("gpt-4o-mini", 9, 0.7))
            async with aclosing(reply):
                assert [delta async for delta in reply]

    async def speak(self) -> None:
        """A sentence."""
        base_url = self.address or f"{self.url}/elevenlabs"
        settings = ElevenLabsSettings.model_validate({"api_key": self.key, "base_url": base_url})
        speech = ElevenLabsSpeech(settings, self.limits)
        try:
            voice = Voice(settings.voice_id, settings.model)
            async with speech.speaking(voice) as context, aclosing(context.say("Far.", "")) as pieces:
                assert [piece async for piece in pieces]
        finally:
            await speech.aclose()

    async def requests(self) -> list[dict[str, Any]]:
        """What the sandbox was asked."""
        async with aiohttp.request("GET", f"{self.url}/sandbox/requests") as answer:
            told: list[dict[str, Any]] = (await answer.json())["requests"]
            return told

    def _openai(self) -> OpenAISettings:
        base_url = self.address or f"{self.url}/openai/v1"
        return OpenAISettings.model_validate({"api_key": self.key, "base_url": base_url})


@asynccontextmanager
async def asking(*rules: Rule, limits: Mapping[str, Any] = QUICK, **fields: str) -> AsyncIterator[Asking]:
    sandbox = Sandbox(replay=script(), faults=rules)
    url = await sandbox.start("127.0.0.1", 0)
    try:
        await sandbox.loaded()
        yield Asking(sandbox, url, LimitSettings.model_validate(dict(limits)), **fields)
    finally:
        await sandbox.aclose()


async def failure(ask_vendor: Callable[[], Awaitable[None]]) -> EngineError:
    """With what it fails."""
    with pytest.raises(EngineError) as failed:
        await ask_vendor()
    return failed.value


STAGES: Mapping[str, Callable[[Asking], Awaitable[None]]] = {
    "transcription": Asking.transcribe,
    "chat": Asking.chat,
    "speech": Asking.speak,
}
TYPES = [
    ("APIError, 500", {"fault": "status", "status": 500}, EngineUnavailable, Fault.OVERLOADED, 3),
    ("APIError, 503", {"fault": "status", "status": 503}, EngineUnavailable, Fault.OVERLOADED, 3),
    ("RateLimitError", {"fault": "status", "status": 429}, EngineUnavailable, Fault.RATE_LIMIT, 3),
    ("Timeout", {"fault": "hang"}, EngineTimeout, Fault.TIMEOUT, 3),
    ("APIConnectionError", {"fault": "cut"}, EngineUnavailable, Fault.CONNECTION, 3),
    ("an answer that is none", {"fault": "content_type"}, EngineUnavailable, Fault.MALFORMED, 3),
    ("PermissionDeniedError", {"fault": "status", "status": 403}, EngineRejected, Fault.PERMISSION, 1),
    ("BadRequestError", {"fault": "status", "status": 400}, EngineRejected, Fault.BAD_REQUEST, 1),
]
"""The errors of the vendors' libraries, what causes them, what they become, and how many requests are made."""


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("name", "rule", "kind", "fault", "requests"), TYPES, ids=[known[0] for known in TYPES])
async def test_each_error_of_the_vendors_has_its_meaning(
    stage: str, name: str, rule: Rule, kind: type[EngineError], fault: Fault, requests: int
) -> None:
    async with asking({"on": stage, **rule}) as there:
        failed = await failure(lambda: STAGES[stage](there))
        assert (type(failed), failed.fault) == (kind, fault)
        (counts,) = there.sandbox.faults.to_json()
        assert counts["matched"] == requests
        assert KEY not in str(failed)


@pytest.mark.parametrize(
    ("stage", "code"),
    [("transcription", "insufficient_quota"), ("chat", "insufficient_quota"), ("speech", "quota_exceeded")],
)
async def test_a_quota_that_is_used_up_is_told_from_a_rate_that_passes(stage: str, code: str) -> None:
    async with asking({"on": stage, "fault": "status", "status": 429, "code": code}) as there:
        failed = await failure(lambda: STAGES[stage](there))
        assert (type(failed), failed.fault) == (EngineRejected, Fault.QUOTA)
        assert there.sandbox.faults.to_json()[0]["matched"] == 1


@pytest.mark.parametrize("stage", STAGES)
async def test_a_wrong_key_is_named_and_tried_once(stage: str) -> None:
    async with asking(key="sk-wrong") as there:
        failed = await failure(lambda: STAGES[stage](there))
        assert (type(failed), failed.fault) == (EngineRejected, Fault.AUTHENTICATION)
        assert "_API_KEY" in failed.advice
        assert "sk-wrong" not in str(failed) + failed.advice
        assert [asked["status"] for asked in await there.requests()] == [401]


@pytest.mark.parametrize("stage", STAGES)
async def test_an_address_that_nobody_listens_at_is_a_broken_connection(stage: str) -> None:
    async with asking(address=NOBODY) as there:
        failed = await failure(lambda: STAGES[stage](there))
    assert (type(failed), failed.fault) == (EngineUnavailable, Fault.CONNECTION)


async def test_a_request_is_made_three_times_after_waits_of_one_and_two_seconds() -> None:
    async with asking({"on": "chat", "fault": "status", "status": 503}, limits={}) as there:
        assert isinstance(await failure(there.chat), EngineUnavailable)
        begun_s = [asked["started_s"] for asked in await there.requests()]
    waits_s = [later - earlier for earlier, later in itertools.pairwise(begun_s)]
    assert [round(wait_s) for wait_s in waits_s] == [1, 2]


async def test_a_vendor_that_recovers_in_time_is_not_given_up() -> None:
    async with asking({"on": "speech", "fault": "status", "status": 503, "first": 2}) as there:
        await there.speak()
        assert [asked["status"] for asked in await there.requests()] == [503, 503, 200]


@asynccontextmanager
async def failing(folder: Path, stage: str) -> AsyncIterator[System]:
    """The service, one of whose vendors fails."""
    async with running_system(folder) as system:
        system.sandbox.faults.replace([{"on": stage, "fault": "status", "status": 503}])
        yield system


async def test_without_chat_an_apology_is_spoken_and_the_conversation_is_kept(tmp_path: Path) -> None:
    with listening() as told:
        async with failing(tmp_path, "chat") as system:
            call = await opened(system)
            await ask(call, by_voice=False)
            completed = await call.until("turn_completed")
            assert counted("engine_consecutive_failures", stage="think", engine="openai") == 3
            system.sandbox.faults.clear()
            await works(call)
            assert await call.finish() is grpc.StatusCode.OK
            chats = [asked for asked in await system.requests() if asked["route"].endswith("completions")]
    assert (outcome(completed), completed.heard_text) == ("COMPLETED", APOLOGY)
    assert reasons(completed.degraded_reasons) == ("CHAT_FAILED",)
    # Its messages are longer by the question and the apology.
    assert chats[-1]["request_bytes"] > chats[0]["request_bytes"] + len(APOLOGY)
    assert '"event": "attempts_exhausted"' in told.logs
    assert counted("engine_consecutive_failures", stage="think", engine="openai") == 0


async def test_without_transcription_the_user_is_told_and_nothing_is_answered(tmp_path: Path) -> None:
    async with failing(tmp_path, "transcription") as system:
        call = await opened(system)
        await ask(call, by_voice=True)
        completed = await call.until("turn_completed")
        assert await call.finish() is grpc.StatusCode.OK
        routes = {asked["route"] for asked in await system.requests()}
    assert (outcome(completed), call.only("transcript").text) == ("SKIPPED", "")
    assert "TRANSCRIPTION_FAILED" in reasons(notice.reason for notice in call.all("notice"))
    assert not any(route.endswith("completions") for route in routes)


async def test_without_speech_the_client_has_the_text_and_the_error(tmp_path: Path) -> None:
    async with failing(tmp_path, "speech") as system:
        call = await opened(system)
        await ask(call, by_voice=False)
        completed = await call.until("turn_completed")
        assert await call.finish() is grpc.StatusCode.OK
        (counts,) = system.sandbox.faults.to_json()
    assert outcome(completed) == "FAILED"
    assert completed.status.code == Code.CODE_UNAVAILABLE
    assert completed.status.error_info.reason == "SPEECH_FAILED"
    assert "".join(piece.text for piece in call.all("reply_text")) == WHOLE_REPLY
    assert reasons(notice.reason for notice in call.all("notice")) == ("RETRYING", "SPEECH_FAILED")
    assert counts["matched"] == 3
