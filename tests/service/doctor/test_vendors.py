"""What the doctor says of vendors, judged by what they answer over a real socket."""

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from avatar_service.doctor import vendors
from avatar_service.doctor.report import Check, Finding, Verdict, examine
from avatar_service.engines.vendor import SECOND_OPENAI
from avatar_service.settings import ElevenLabsSettings, LimitSettings, OpenAISettings
from tests.service.engines.vendor import Answer, vendor

LIMITS = LimitSettings.model_validate({})
SECRET = "sk-proj-4711"
ECHO = f"Incorrect API key provided: {SECRET}".encode()
"""Vendors quote what they were sent."""


def answer(body: Any, status: int = 200) -> Answer:
    return Answer((json.dumps(body).encode(),), status, "application/json")


def models(*names: str) -> Answer:
    listed = [{"id": name, "object": "model", "created": 0, "owned_by": "v"} for name in names]
    return answer({"object": "list", "data": listed})


def speech_models(*names: str) -> Answer:
    return answer([{"model_id": name, "name": name} for name in names])


def openai(url: str, **fields: Any) -> Coroutine[Any, Any, Sequence[Finding]]:
    settings = OpenAISettings.model_validate({"api_key": SECRET, "base_url": url} | fields)
    return vendors.openai_key_and_models(settings, LIMITS)


def elevenlabs(url: str, **fields: Any) -> Coroutine[Any, Any, Sequence[Finding]]:
    settings = ElevenLabsSettings.model_validate({"api_key": SECRET, "base_url": url} | fields)
    return vendors.elevenlabs_key_voice_and_model(settings, LIMITS)


def told(findings: Sequence[Finding]) -> dict[str, Verdict]:
    assert SECRET not in repr(findings)
    return {finding.subject: finding.verdict for finding in findings}


async def test_a_key_that_is_taken_and_models_that_are_served_are_well() -> None:
    async with vendor(models("gpt-4o-mini", "whisper-1")) as serving:
        findings = await openai(serving.url)
        assert serving.requests[0]["headers"]["Authorization"] == f"Bearer {SECRET}"
    assert told(findings) == {"openai": Verdict.OK, "chat model": Verdict.OK, "transcription model": Verdict.OK}


async def test_a_model_that_is_not_served_is_named_with_its_setting() -> None:
    async with vendor(models("gpt-4o-mini")) as serving:
        findings = await openai(serving.url, transcription_model="whisper-9")
    assert told(findings)["transcription model"] is Verdict.FAILED
    assert "'whisper-9'" in findings[-1].detail
    assert "OPENAI_TRANSCRIPTION_MODEL" in findings[-1].mend


@pytest.mark.parametrize("ask", [openai, elevenlabs])
@pytest.mark.parametrize(
    ("status", "detail", "mend"),
    [
        (401, "the key is refused (status 401)", "API_KEY"),
        (403, "the key may not do this (status 403)", "API_KEY"),
        (404, "the address serves no such thing (status 404)", "BASE_URL"),
        (402, "the quota is used up (status 402)", "plan"),
        (429, "too many requests (status 429)", "plan"),
        (503, "not available (status 503)", "try again"),
    ],
)
async def test_a_refusal_is_told_by_its_status_and_without_the_vendors_words(
    ask: Callable[[str], Coroutine[Any, Any, Sequence[Finding]]], status: int, detail: str, mend: str
) -> None:
    async with vendor(Answer((ECHO,), status)) as serving:
        findings = await ask(serving.url)
    assert list(told(findings).values()) == [Verdict.FAILED]
    assert findings[0].detail == detail
    assert mend in findings[0].mend


@pytest.mark.parametrize("ask", [openai, elevenlabs])
async def test_a_vendor_that_cannot_be_reached_is_told_with_its_address(
    ask: Callable[[str], Coroutine[Any, Any, Sequence[Finding]]],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    findings = await ask(url)
    assert list(told(findings).values()) == [Verdict.FAILED]
    assert findings[0].detail == f"cannot be reached: {url}"
    assert "BASE_URL" in findings[0].mend


@pytest.mark.parametrize("ask", [openai, elevenlabs])
async def test_a_vendor_that_hangs_fails_within_the_deadline(
    ask: Callable[[str], Coroutine[Any, Any, Sequence[Finding]]],
) -> None:
    loop = asyncio.get_running_loop()
    async with vendor(Answer(pause_s=60.0)) as serving:
        began_s = loop.time()
        (finding,) = await examine([Check("vendor", lambda: ask(serving.url), 0.3, "check the network")])
        assert loop.time() - began_s < 3.0
    assert (finding.verdict, finding.detail) == (Verdict.FAILED, "no answer within 0.3 s")


@pytest.mark.parametrize("ask", [openai, elevenlabs])
async def test_an_answer_in_another_protocol_is_a_failure_too(
    ask: Callable[[str], Coroutine[Any, Any, Sequence[Finding]]],
) -> None:
    async with vendor(Answer((b"<html>log in</html>",), 200, "text/html")) as serving:
        check = Check("vendor", lambda: ask(serving.url), 5.0, "check the base URL")
        findings = await examine([check])
    assert Verdict.FAILED in told(findings).values()


async def test_a_voice_and_a_speech_model_that_exist_are_well() -> None:
    voice = answer({"voice_id": "rachel", "name": "Rachel"})
    async with vendor(speech_models("eleven_multilingual_v2"), voice) as serving:
        findings = await elevenlabs(serving.url, voice_id="rachel")
        assert serving.requests[0]["headers"]["xi-api-key"] == SECRET
    assert told(findings) == {"elevenlabs": Verdict.OK, "speech model": Verdict.OK, "voice": Verdict.OK}


async def test_a_voice_and_a_speech_model_that_do_not_exist_are_named_with_their_settings() -> None:
    async with vendor(speech_models("eleven_flash_v2_5"), Answer((ECHO,), 404)) as serving:
        findings = await elevenlabs(serving.url, voice_id="nobody")
    assert told(findings)["speech model"] is told(findings)["voice"] is Verdict.FAILED
    assert [finding.mend.split()[1] for finding in findings[1:]] == ["ELEVENLABS_MODEL", "ELEVENLABS_VOICE_ID"]


@pytest.mark.parametrize(("model", "verdict"), [("whisper-1", Verdict.WARNING), ("gpt-transcribe", Verdict.OK)])
def test_a_model_whose_end_is_announced_is_a_warning_at_openai_itself(model: str, verdict: Verdict) -> None:
    settings = OpenAISettings.model_validate({"api_key": SECRET})
    finding = vendors._model("transcription model", model, "OPENAI_TRANSCRIPTION_MODEL", {model}, settings)
    assert finding.verdict is verdict


async def test_a_second_engine_is_named_with_settings_of_its_own() -> None:
    settings = OpenAISettings.model_validate({"api_key": SECRET, "base_url": "http://127.0.0.1:1"})
    async with vendor(models("gpt-4o-mini")) as serving:
        served = settings.model_copy(update={"base_url": serving.url})
        findings = await vendors.openai_key_and_models(served, LIMITS, SECOND_OPENAI)
    assert [finding.subject for finding in findings] == ["openai-2", "second chat model", "second transcription model"]
    assert "AVATAR_SECOND_OPENAI_TRANSCRIPTION_MODEL" in findings[-1].mend
    async with vendor(Answer((ECHO,), 401)) as serving:
        served = settings.model_copy(update={"base_url": serving.url})
        (finding,) = await vendors.openai_key_and_models(served, LIMITS, SECOND_OPENAI)
    assert finding.mend == "set AVATAR_SECOND_OPENAI_API_KEY to a valid key"
