"""Speech with the times of its characters, by the SDK's own calls."""

import base64

import numpy as np
import pytest

from tests.integration.sandbox.sdk import SPEECH_TEXT, elevenlabs_client, speech
from tests.integration.sandbox_fixture import VOICE_ID, RunningSandbox

TEXT = "Dr. Lee  paid $9.99 for it.\nIt was art, fashion, and culture!"


async def test_a_whole_answer_has_sound_and_the_time_of_every_character(sandbox: RunningSandbox) -> None:
    async with elevenlabs_client(sandbox) as client:
        answer = await client.text_to_speech.convert_with_timestamps(VOICE_ID, text=TEXT, output_format="pcm_24000")
        pcm = base64.b64decode(answer.audio_base_64)
        assert pcm == await speech(client, TEXT)
    alignment, normalized = answer.alignment, answer.normalized_alignment
    assert alignment is not None
    assert normalized is not None
    assert "".join(alignment.characters) == TEXT
    assert "".join(normalized.characters).startswith("Doctor Lee" if "Doctor" in normalized.characters else "Dr Lee")
    for times in (alignment, normalized):
        spans = list(zip(times.character_start_times_seconds, times.character_end_times_seconds, strict=True))
        assert all(0 <= start <= end <= len(pcm) / 48_000 + 0.001 for start, end in spans)
        assert [start for start, _ in spans] == sorted(start for start, _ in spans)


@pytest.mark.parametrize("output_format", ["pcm_24000", "mp3_44100_128"])
async def test_streamed_chunks_spell_the_text_and_carry_the_same_bytes(
    sandbox: RunningSandbox, output_format: str
) -> None:
    async with elevenlabs_client(sandbox) as client:
        sound, characters, starts = b"", "", []
        stream = client.text_to_speech.stream_with_timestamps(VOICE_ID, text=TEXT, output_format=output_format)
        async for chunk in stream:
            sound += base64.b64decode(chunk.audio_base_64)
            if chunk.alignment is not None:
                characters += "".join(chunk.alignment.characters)
                starts += chunk.alignment.character_start_times_seconds
        assert characters == TEXT
        assert starts == sorted(starts), "times count from the beginning of the answer"
        assert sound == await speech(client, TEXT, output_format)


async def test_a_pause_between_sentences_is_silent_where_the_times_say(sandbox: RunningSandbox) -> None:
    async with elevenlabs_client(sandbox) as client:
        answer = await client.text_to_speech.convert_with_timestamps(
            VOICE_ID, text=SPEECH_TEXT, output_format="pcm_24000"
        )
    alignment = answer.alignment
    assert alignment is not None
    samples = np.frombuffer(base64.b64decode(answer.audio_base_64), "<i2").astype(np.float64)
    loudness = np.sqrt(np.square(samples).mean())
    second = SPEECH_TEXT.index("It")
    last_word_ends_s = alignment.character_end_times_seconds[second - 3]
    next_word_starts_s = alignment.character_start_times_seconds[second]
    pause = samples[round((last_word_ends_s + 0.05) * 24_000) : round((next_word_starts_s - 0.03) * 24_000)]
    assert len(pause) > 0.1 * 24_000
    assert np.sqrt(np.square(pause).mean()) < 0.03 * loudness
    word = samples[round(next_word_starts_s * 24_000) : round((next_word_starts_s + 0.2) * 24_000)]
    assert np.sqrt(np.square(word).mean()) > 0.5 * loudness


async def test_dripped_chunks_keep_the_asked_rate(sandbox: RunningSandbox) -> None:
    options = {"additional_headers": {"x-sandbox-speech-rate": "8"}}
    async with elevenlabs_client(sandbox) as client:
        stream = client.text_to_speech.stream_with_timestamps(
            VOICE_ID, text=SPEECH_TEXT, output_format="pcm_24000", request_options=options
        )
        assert [chunk async for chunk in stream]
    record = sandbox.last_request("/stream/with-timestamps")
    expected_s = record["figures"]["audio_s"] / 8
    assert record["last_byte_s"] - record["first_byte_s"] == pytest.approx(expected_s, abs=0.15)
