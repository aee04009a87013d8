"""The sandbox in ElevenLabs' place, as the unchanged SDK sees it over a real socket."""

import time
from typing import Any

import pytest
from elevenlabs import VoiceSettings
from elevenlabs.core.api_error import ApiError

from tests.integration.sandbox.sdk import (
    SPEECH_TEXT,
    elevenlabs_client,
    openai_client,
    silent_wav,
    speech,
    words,
)
from tests.integration.sandbox_fixture import KEY, VOICE_ID, RunningSandbox


async def test_streamed_and_whole_speech_are_the_same_samples(sandbox: RunningSandbox) -> None:
    async with elevenlabs_client(sandbox) as client:
        streamed = await speech(client)
        converted = client.text_to_speech.convert(VOICE_ID, text=SPEECH_TEXT, output_format="pcm_24000")
        whole = b"".join([chunk async for chunk in converted])
        assert streamed == whole
        assert 3.0 < len(whole) / 48_000 < 7.0


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 32_000, 44_100, 48_000])
async def test_every_pcm_rate_has_the_same_duration(sandbox: RunningSandbox, rate_hz: int) -> None:
    async with elevenlabs_client(sandbox) as client:
        reference = await speech(client)
        resampled = await speech(client, output_format=f"pcm_{rate_hz}")
        assert len(resampled) / rate_hz == pytest.approx(len(reference) / 24_000, abs=0.001)


async def test_speech_begins_at_once(sandbox: RunningSandbox) -> None:
    async with elevenlabs_client(sandbox) as client:
        pcm = memoryview(await speech(client)).cast("h")
        first = next(position for position, sample in enumerate(pcm) if abs(sample) > 500)
        assert first / 24_000 < 0.12


async def test_speech_is_understood(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as listener, elevenlabs_client(sandbox) as speaker:
        pcm = await speech(speaker, output_format="pcm_16000")
        header = silent_wav(len(pcm) / 32_000)[:44]
        transcript = await listener.audio.transcriptions.create(file=("a.wav", header + pcm), model="whisper-1")
        assert words(transcript.text) == words(SPEECH_TEXT)


async def test_speed_makes_speech_shorter_or_longer(sandbox: RunningSandbox) -> None:
    async with elevenlabs_client(sandbox) as client:
        slow, normal, fast = [
            len(await speech(client, voice_settings=VoiceSettings(speed=speed))) for speed in (0.7, 1.0, 1.2)
        ]
        assert slow > 1.2 * normal
        assert normal > 1.1 * fast


async def test_dripped_speech_keeps_the_asked_rate(sandbox: RunningSandbox) -> None:
    async with elevenlabs_client(sandbox) as client:
        options: Any = {"chunk_size": 960, "additional_headers": {"x-sandbox-speech-rate": "4"}}
        arrivals: list[float] = []
        sent_bytes = 0
        stream = client.text_to_speech.stream(
            VOICE_ID, text=SPEECH_TEXT, output_format="pcm_24000", request_options=options
        )
        async for chunk in stream:
            arrivals.append(time.monotonic())
            sent_bytes += len(chunk)
        expected_s = sent_bytes / 48_000 / 4
        assert expected_s > 0.8
        assert arrivals[-1] - arrivals[0] == pytest.approx(expected_s, rel=0.25)
        halfway = arrivals[len(arrivals) // 2] - arrivals[0]
        assert halfway == pytest.approx(expected_s / 2, rel=0.35)
        record = sandbox.last_request("/stream")
        assert record["last_byte_s"] - record["first_byte_s"] == pytest.approx(expected_s, rel=0.25)
        # The clock is the machine's own: the vendor's last byte is after our first and before our last arrival.
        assert arrivals[0] < record["last_byte_s"] <= arrivals[-1]


async def test_a_text_without_words_is_a_short_silence(sandbox: RunningSandbox) -> None:
    async with elevenlabs_client(sandbox) as client:
        assert await speech(client, text="...") == bytes(round(0.2 * 48_000))


async def refused(sandbox: RunningSandbox, key: str = KEY, **request: Any) -> ApiError:
    """What the SDK raises for a request that differs from a good one as said."""
    fields = {"voice_id": VOICE_ID, "text": "Hello.", "output_format": "pcm_16000", **request}
    async with elevenlabs_client(sandbox, key) as client:
        with pytest.raises(ApiError) as caught:
            await anext(aiter(client.text_to_speech.stream(**fields)))
    return caught.value


async def test_a_wrong_key(sandbox: RunningSandbox) -> None:
    error = await refused(sandbox, key="not-the-key")
    assert (error.status_code, error.body["detail"]["status"]) == (401, "invalid_api_key")


async def test_an_unknown_voice(sandbox: RunningSandbox) -> None:
    error = await refused(sandbox, voice_id="nobody")
    assert (error.status_code, error.body["detail"]["status"]) == (404, "voice_not_found")


async def test_an_unknown_model(sandbox: RunningSandbox) -> None:
    error = await refused(sandbox, model_id="eleven_v0")
    assert (error.status_code, error.body["detail"]["code"]) == (400, "model_not_found")


@pytest.mark.parametrize("field", ["previous_text", "next_text"])
async def test_a_model_that_takes_no_text_around_the_text(sandbox: RunningSandbox, field: str) -> None:
    error = await refused(sandbox, model_id="eleven_v3", **{field: "Well."})
    assert (error.status_code, error.body["detail"]["param"]) == (400, "model_id")
    async with elevenlabs_client(sandbox) as client:
        assert await speech(client, "Hi.", model_id="eleven_v3")
        assert await speech(client, "Hi.", model_id="eleven_multilingual_v2", **{field: "Well."})


@pytest.mark.parametrize(
    "fields",
    [
        {"language_code": "de"},
        {"seed": -1},
        {"voice_settings": VoiceSettings(stability=1.5)},
        {"optimize_streaming_latency": 5},
        {"previous_request_ids": ["a"], "model_id": "eleven_v3_conversational"},
    ],
)
async def test_values_that_are_not_served(sandbox: RunningSandbox, fields: dict[str, Any]) -> None:
    assert (await refused(sandbox, **fields)).status_code in (400, 422)


async def test_an_empty_text(sandbox: RunningSandbox) -> None:
    error = await refused(sandbox, text="  ")
    assert (error.status_code, error.body["detail"]["status"]) == (400, "input_text_empty")


async def test_a_text_that_is_too_long(sandbox: RunningSandbox) -> None:
    error = await refused(sandbox, text="a" * 5001)
    assert (error.status_code, error.body["detail"]["status"]) == (400, "max_character_limit_exceeded")


async def test_a_format_that_does_not_exist_names_those_that_do(sandbox: RunningSandbox) -> None:
    error = await refused(sandbox, output_format="pcm_1")
    assert error.status_code == 422
    assert "pcm_24000" in error.body["detail"][0]["msg"]


async def test_a_speed_out_of_range(sandbox: RunningSandbox) -> None:
    error = await refused(sandbox, voice_settings=VoiceSettings(speed=2.0))
    assert error.body["detail"]["status"] == "invalid_voice_settings"


async def test_a_speech_rate_out_of_range(sandbox: RunningSandbox) -> None:
    options = {"additional_headers": {"x-sandbox-speech-rate": "0"}}
    assert (await refused(sandbox, request_options=options)).status_code == 422
