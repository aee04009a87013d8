"""The voices: listed by the SDK's calls, and told apart by ear."""

import numpy as np
import pytest
from elevenlabs.core.api_error import ApiError

from avatar_service.sandbox.elevenlabs_voices import VOICES
from tests.integration.sandbox.sdk import elevenlabs_client, openai_client, silent_wav, words
from tests.integration.sandbox_fixture import VOICE_ID, RunningSandbox

TEXT = "How do I make a cup of tea?"


async def test_the_voices_are_listed_with_their_settings(sandbox: RunningSandbox) -> None:
    async with elevenlabs_client(sandbox) as client:
        voices = (await client.voices.get_all()).voices
        assert len(voices) >= 4
        assert VOICE_ID in [voice.voice_id for voice in voices]
        for voice in voices:
            assert voice.settings is not None
            assert voice.settings.speed == 1.0
            assert (await client.voices.get(voice.voice_id)).name == voice.name
            assert (await client.voices.settings.get(voice.voice_id)).stability == 0.5
        assert (await client.voices.settings.get_default()).similarity_boost == 0.75


async def test_voices_are_searched_page_by_page(sandbox: RunningSandbox) -> None:
    async with elevenlabs_client(sandbox) as client:
        first = await client.voices.search(page_size=3)
        assert (len(first.voices), first.has_more, first.total_count) == (3, True, len(VOICES))
        rest = await client.voices.search(page_size=3, next_page_token=first.next_page_token)
        assert not rest.has_more
        assert {voice.voice_id for voice in [*first.voices, *rest.voices]} == {voice.voice_id for voice in VOICES}
        assert [voice.name for voice in (await client.voices.search(search="george")).voices] == ["George"]
        assert (await client.voices.search(search="nobody")).voices == []
        named = [voice.name for voice in (await client.voices.search(sort="name", sort_direction="desc")).voices]
        assert named == sorted((voice.name for voice in VOICES), reverse=True)


async def test_an_unknown_voice_is_not_found(sandbox: RunningSandbox) -> None:
    async with elevenlabs_client(sandbox) as client:
        with pytest.raises(ApiError) as caught:
            await client.voices.get("nobody")
        assert (caught.value.status_code, caught.value.body["detail"]["status"]) == (404, "voice_not_found")


async def test_every_voice_is_understood_and_has_its_own_pitch(sandbox: RunningSandbox) -> None:
    pitches_hz = {}
    async with elevenlabs_client(sandbox) as speaker, openai_client(sandbox) as listener:
        for voice in VOICES:
            stream = speaker.text_to_speech.stream(voice.voice_id, text=TEXT, output_format="pcm_16000")
            pcm = b"".join([chunk async for chunk in stream])
            recording = silent_wav(len(pcm) / 32_000)[:44] + pcm
            transcript = await listener.audio.transcriptions.create(file=("a.wav", recording), model="whisper-1")
            assert words(transcript.text) == words(TEXT), voice.name
            pitches_hz[voice.name] = pitch_hz(pcm)
    assert pitches_hz["George"] < 0.9 * pitches_hz["Adam"] < 0.9 * pitches_hz["Rachel"] < 0.95 * pitches_hz["Sarah"]


def pitch_hz(pcm: bytes) -> float:
    """The median of the strongest periods between 80 and 400 Hz of the loud 40 ms of 16 kHz PCM."""
    samples = np.frombuffer(pcm, "<i2") / 32_768
    found = []
    for start in range(0, len(samples) - 640, 160):
        window = samples[start : start + 640]
        if np.square(window).mean() > 1e-3:
            correlation = np.correlate(window, window, "full")[639:]
            found.append(16_000 / (40 + int(np.argmax(correlation[40:200]))))
    return float(np.median(found))
