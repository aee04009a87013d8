"""The voices of an ElevenLabs account over a socket: what is asked for, what is kept, what becomes of gaps."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from avatar_service import clock
from avatar_service.engines.base import Voice, VoiceInfo
from avatar_service.engines.elevenlabs_speech import VOICES_KEPT_S, ElevenLabsSpeech
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable
from avatar_service.settings import ElevenLabsSettings, LimitSettings
from tests.service.engines.vendor import Answer, Vendor, vendor

RACHEL: dict[str, Any] = {
    "voice_id": "21m00",
    "name": "Rachel",
    "description": "Calm.",
    "labels": {"language": "en", "accent": "american"},
    "verified_languages": [
        {"language": "en", "model_id": "eleven_v3", "locale": "en-US"},
        {"language": "fr", "model_id": "eleven_v3"},
        {"language": "fr", "model_id": "eleven_turbo_v2"},
    ],
    "settings": {"stability": 0.3, "similarity_boost": 0.9, "style": 0.2, "use_speaker_boost": False, "speed": 1.1},
}
BARE: dict[str, Any] = {"voice_id": "x1", "name": None, "labels": {"language": "English, mostly"}}


def page(*voices: dict[str, Any], token: str | None = None) -> Answer:
    body = {"voices": voices, "has_more": token is not None, "total_count": 2, "next_page_token": token}
    return Answer((json.dumps(body).encode(),), content_type="application/json")


@asynccontextmanager
async def account(*script: Answer, **limits: Any) -> AsyncIterator[tuple[ElevenLabsSpeech, Vendor]]:
    async with vendor(*script) as serving:
        settings = ElevenLabsSettings.model_validate({"base_url": serving.url, "api_key": "sk-secret"})
        speech = ElevenLabsSpeech(settings, LimitSettings.model_validate({"attempts": 1} | limits))
        try:
            yield speech, serving
        finally:
            await speech.aclose()


async def test_a_voice_is_listed_with_what_the_vendor_tells_of_it() -> None:
    async with account(page(RACHEL)) as (speech, serving):
        assert list(await speech.voices()) == [
            VoiceInfo(
                "21m00",
                Voice("21m00", "", stability=0.3, similarity_boost=0.9, style=0.2, use_speaker_boost=False, speed=1.1),
                "Rachel",
                ("en", "en-US", "fr"),
                "Calm.",
            )
        ]
    (request,) = serving.requests
    assert request["path"] == "/v2/voices"
    assert request["headers"]["xi-api-key"] == "sk-secret"
    assert request["query"]["page_size"] == "100"
    assert request["query"]["sort"] == "name"


async def test_what_the_vendor_leaves_out_is_empty_and_settings_are_the_usual_ones() -> None:
    async with account(page(BARE)) as (speech, _):
        assert list(await speech.voices()) == [VoiceInfo("x1", Voice("x1", ""), "", (), "")]


async def test_a_voice_without_an_id_cannot_be_asked_for_and_is_left_out() -> None:
    async with account(page({"name": "Nobody"}, RACHEL)) as (speech, _):
        assert [voice.voice_id for voice in await speech.voices()] == ["21m00"]


async def test_all_pages_are_read_in_order() -> None:
    async with account(page(RACHEL, token="next"), page(BARE)) as (speech, serving):
        assert [voice.voice_id for voice in await speech.voices()] == ["21m00", "x1"]
    assert [request["query"].get("next_page_token") for request in serving.requests] == [None, "next"]


async def test_an_account_without_end_is_read_up_to_a_limit() -> None:
    async with account(page(RACHEL, token="again")) as (speech, serving):
        assert len(await speech.voices()) == 20
    assert len(serving.requests) == 20


async def test_the_list_is_kept_for_five_minutes_also_for_those_who_ask_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with account(page(RACHEL), page(BARE)) as (speech, serving):
        lists = await asyncio.gather(*(speech.voices() for _ in range(5)))
        assert len(serving.requests) == 1
        assert all(voices == lists[0] for voices in lists)
        now_s = clock.now()
        monkeypatch.setattr(clock, "now", lambda: now_s + VOICES_KEPT_S + 1.0)
        assert [voice.voice_id for voice in await speech.voices()] == ["x1"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(status=401), EngineRejected),
        (Answer(status=503), EngineUnavailable),
        (Answer((b'{"voices": 1}',), content_type="application/json"), EngineUnavailable),
        (Answer((b"<html>",), content_type="text/html"), EngineUnavailable),
        (Answer(pause_s=5.0), EngineTimeout),
    ],
)
async def test_a_failure_is_our_error_and_is_not_kept(answer: Answer, error: type[EngineError]) -> None:
    limits = {"first_output_s": 2.0} if answer.pause_s else {}
    async with account(answer, page(RACHEL), **limits) as (speech, serving):
        with pytest.raises(error) as failed:
            await speech.voices()
        assert failed.value.stage == "list_voices"
        assert len(serving.requests) == 1, "the SDK must not try again by itself"
        assert [voice.voice_id for voice in await speech.voices()] == ["21m00"]
