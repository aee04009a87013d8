"""Recordings in, text out, as the unchanged OpenAI SDK sees it."""

import io
import wave
from typing import Any

import av
import numpy as np
import openai
import pytest
from numpy.typing import NDArray

from tests.integration.sandbox.sdk import QUESTION, QUESTION_TEXT, openai_client, words
from tests.integration.sandbox_fixture import RunningSandbox

FILES = {
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "libmp3lame"),
    "ogg": ("ogg", "libopus"),
    "webm": ("webm", "libopus"),
    "m4a": ("ipod", "aac"),
    "mp4": ("mp4", "aac"),
    "mpga": ("mp3", "libmp3lame"),
}
"""By extension: FFmpeg's names of container and codec."""


def question() -> NDArray[np.int16]:
    with wave.open(io.BytesIO(QUESTION)) as recording:
        return np.frombuffer(recording.readframes(recording.getnframes()), "<i2")


def recorded(extension: str) -> bytes:
    """The demo question at 16 kHz as another kind of file."""
    container_name, codec = FILES[extension]
    file = io.BytesIO()
    with av.open(file, "w", format=container_name) as container:
        stream: Any = container.add_stream(codec, rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(question()[None, :], format="s16", layout="mono")
        frame.rate = 16_000
        frame.pts = 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize("extension", sorted(FILES))
async def test_every_kind_of_file_is_understood(sandbox: RunningSandbox, extension: str) -> None:
    async with openai_client(sandbox) as client:
        upload = (f"question.{extension}", recorded(extension))
        transcript = await client.audio.transcriptions.create(file=upload, model="gpt-4o-transcribe")
    assert words(transcript.text) == words(QUESTION_TEXT)
    assert transcript.usage is not None
    assert transcript.usage.type == "tokens"


async def test_a_file_whose_format_nothing_tells_is_refused(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        with pytest.raises(openai.BadRequestError, match="Supported formats"):
            await client.audio.transcriptions.create(file=QUESTION, model="whisper-1")


async def test_subtitles_have_a_line_for_each_sentence(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        srt, vtt = [
            await client.audio.transcriptions.create(
                file=("q.wav", QUESTION), model="whisper-1", response_format=response_format
            )
            for response_format in ("srt", "vtt")
        ]
    assert srt.startswith("1\n00:00:00,")
    assert " --> 00:00:0" in srt
    assert vtt.startswith("WEBVTT\n\n00:00:00.")
    for subtitles in (srt, vtt):
        said = [line for line in str(subtitles).splitlines() if "-->" not in line and line not in ("WEBVTT", "1", "2")]
        assert words(" ".join(said)) == words(QUESTION_TEXT)


async def test_segments_and_words_are_where_they_are_heard(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        transcript = await client.audio.transcriptions.create(
            file=("q.wav", QUESTION),
            model="whisper-1",
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
        )
    assert transcript.segments
    assert transcript.words
    assert words(" ".join(segment.text for segment in transcript.segments)) == words(QUESTION_TEXT)
    assert transcript.segments[-1].end == pytest.approx(transcript.words[-1].end, abs=0.4)
    assert all(segment.compression_ratio < 2.4 and segment.avg_logprob > -1 for segment in transcript.segments)
    # The last word is heard until the closing silence of 0.3 s.
    assert transcript.words[-1].end == pytest.approx(transcript.duration - 0.3, abs=0.2)


# The SDK calls the model deprecated, as it will be shut down.
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_a_translation_into_english_is_what_is_said(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        plain = await client.audio.translations.create(file=("q.wav", QUESTION), model="whisper-1")
        verbose: Any = await client.audio.translations.create(
            file=("q.wav", QUESTION), model="whisper-1", response_format="verbose_json"
        )
    assert words(plain.text) == words(QUESTION_TEXT)
    assert (verbose.language, words(verbose.text)) == ("english", words(QUESTION_TEXT))


async def test_log_probabilities(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        transcript = await client.audio.transcriptions.create(
            file=("q.wav", QUESTION), model="gpt-4o-mini-transcribe", include=["logprobs"]
        )
        stream = await client.audio.transcriptions.create(
            file=("q.wav", QUESTION), model="gpt-4o-mini-transcribe", include=["logprobs"], stream=True
        )
        events = [event async for event in stream]
    assert transcript.logprobs is not None
    assert words("".join(entry.token or "" for entry in transcript.logprobs)) == words(QUESTION_TEXT)
    assert all(entry.logprob is not None and -10 < entry.logprob <= 0 for entry in transcript.logprobs)
    done = events[-1]
    assert done.type == "transcript.text.done"
    assert len(done.logprobs or []) == len(transcript.logprobs)


async def test_whisper_ignores_stream(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        raw = await client.audio.transcriptions.with_raw_response.create(
            file=("q.wav", QUESTION), model="whisper-1", stream=True
        )
    assert raw.headers["content-type"].startswith("application/json")


async def test_a_prompt_decides_how_words_are_spelled(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        transcript = await client.audio.transcriptions.create(
            file=("q.wav", QUESTION), model="whisper-1", prompt="hello what is the capitol of"
        )
        keyed = await client.audio.transcriptions.create(
            file=("q.wav", QUESTION), model="gpt-transcribe", keywords=["France", "Spain"]
        )
    assert "capitol" in transcript.text
    assert "France" in keyed.text


async def test_a_long_recording_is_understood_to_its_end(sandbox: RunningSandbox) -> None:
    samples = np.tile(question(), 8)
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(16_000)
        recording.writeframes(samples.tobytes())
    async with openai_client(sandbox) as client:
        stream = await client.audio.transcriptions.create(
            file=("long.wav", file.getvalue()), model="gpt-transcribe", stream=True
        )
        events = [event async for event in stream]
    done = events[-1]
    assert done.type == "transcript.text.done"
    assert words(done.text).count("france") == 8
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == done.text
