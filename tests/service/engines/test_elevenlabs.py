"""Text to speech by ElevenLabs' protocol, over a socket: what is sent, and what failures become."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from avatar_service.engines.base import Voice
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable
from avatar_service.settings import ElevenLabsSettings, LimitSettings
from tests.service.engines.vendor import Answer, Vendor, vendor

VOICE = Voice(
    "rachel", "eleven_multilingual_v2", stability=0.3, similarity_boost=0.6, style=0.1, speed=1.1, language="en"
)
PCM = bytes(range(256)) * 40


@asynccontextmanager
async def speaking(*script: Answer, **limits: Any) -> AsyncIterator[tuple[ElevenLabsSpeech, Vendor]]:
    async with vendor(*script) as serving:
        settings = ElevenLabsSettings.model_validate({"base_url": serving.url, "api_key": "sk-secret"})
        speech = ElevenLabsSpeech(settings, LimitSettings.model_validate({"attempts": 1} | limits))
        try:
            yield speech, serving
        finally:
            await speech.aclose()


async def say(speech: ElevenLabsSpeech) -> list[bytes]:
    async with aclosing(speech.synthesize("The moon is near.", VOICE, "Well.")) as pieces:
        return [piece async for piece in pieces]


async def test_a_sentence_is_asked_for_with_its_voice_and_what_came_before() -> None:
    async with speaking(Answer((PCM,))) as (speech, serving):
        assert b"".join(await say(speech)) == PCM
        assert speech.rate_hz == 24_000
    (request,) = serving.requests
    assert request["path"] == "/v1/text-to-speech/rachel/stream"
    assert request["headers"]["xi-api-key"] == "sk-secret"
    assert request["query"]["output_format"] == "pcm_24000"
    fields = request["fields"]
    assert (fields["text"], fields["previous_text"], fields["language_code"]) == ("The moon is near.", "Well.", "en")
    assert fields["model_id"] == "eleven_multilingual_v2"
    assert fields["voice_settings"] == {
        "stability": 0.3,
        "similarity_boost": 0.6,
        "style": 0.1,
        "use_speaker_boost": True,
        "speed": 1.1,
    }


async def test_pieces_hold_whole_samples_however_the_vendor_splits_them() -> None:
    pieces = tuple(PCM[begin : begin + 333] for begin in range(0, len(PCM), 333))
    async with speaking(Answer(pieces, pause_s=0.002)) as (speech, _):
        heard = await say(speech)
    assert b"".join(heard) == PCM
    assert all(len(piece) % 2 == 0 for piece in heard)


async def test_the_first_sound_is_passed_on_before_the_last_has_come() -> None:
    async with (
        speaking(Answer((PCM,) * 10, pause_s=0.1)) as (speech, serving),
        aclosing(speech.synthesize("Hello.", VOICE, "")) as pieces,
    ):
        async with asyncio.timeout(0.6):
            await anext(pieces)
        assert serving.open == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, EngineRejected),
        (401, EngineRejected),
        (422, EngineRejected),
        (429, EngineUnavailable),
        (500, EngineUnavailable),
        (503, EngineUnavailable),
    ],
)
async def test_a_status_becomes_our_error_without_the_vendors_words(status: int, error: type[EngineError]) -> None:
    answer = Answer((b'{"detail": {"message": "words of the vendor"}}',), status, "application/json")
    async with speaking(answer) as (speech, serving):
        with pytest.raises(error) as failed:
            await say(speech)
        assert len(serving.requests) == 1, "the SDK must not try again by itself"
    assert "words" not in str(failed.value)
    assert failed.value.stage == "speak"


async def test_a_failed_attempt_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar_service.engines.policy.FIRST_WAIT_S", 0.01)
    async with speaking(Answer(status=503), Answer(status=429), Answer((PCM,)), attempts=3) as (speech, serving):
        assert b"".join(await say(speech)) == PCM
        assert len(serving.requests) == 3


async def test_a_voice_that_is_cut_is_an_error_and_is_not_asked_for_again() -> None:
    async with speaking(Answer((PCM,), cut=True, pause_s=0.01), attempts=3) as (speech, serving):
        with pytest.raises(EngineUnavailable):
            await say(speech)
        assert len(serving.requests) == 1


async def test_a_vendor_that_does_not_begin_in_time_is_a_timeout() -> None:
    async with speaking(Answer((PCM,), pause_s=5.0), first_output_s=0.2) as (speech, _):
        with pytest.raises(EngineTimeout):
            await say(speech)


async def test_a_vendor_that_falls_silent_is_a_timeout() -> None:
    async with speaking(Answer((PCM, PCM), pause_s=0.5), between_outputs_s=0.2) as (speech, _):
        with pytest.raises(EngineTimeout):
            await say(speech)


async def test_who_stops_listening_closes_the_vendors_stream() -> None:
    async with speaking(Answer((PCM,) * 100, pause_s=0.05)) as (speech, serving):
        async with aclosing(speech.synthesize("Hello.", VOICE, "")) as pieces:
            await anext(pieces)
        async with asyncio.timeout(1.0):
            while serving.open:
                await asyncio.sleep(0.01)
