"""A question through every kind of microphone, understood by the sandbox's real speech to text."""

import re
import wave
from collections.abc import Iterator

import numpy as np
import pytest

from avatar_service.engines.base import TranscriptionOptions
from avatar_service.engines.openai_client import openai_client
from avatar_service.engines.openai_transcriber import OpenAITranscriber
from avatar_service.media.resample import Resampler
from avatar_service.media.types import Utterance
from avatar_service.media.wire_audio import AudioDecoder, AudioEncoding
from avatar_service.settings import LimitSettings, OpenAISettings
from tests.integration.sandbox_fixture import KEY, RunningSandbox, running_sandbox
from tests.unit.stages.test_listen_encodings import QUESTION, sent

TEXT = QUESTION.with_suffix(".txt").read_text()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "milliseconds"),
    [
        (AudioEncoding.LINEAR16, 8_000, 20),
        (AudioEncoding.LINEAR16, 48_000, 20),
        (AudioEncoding.MULAW, 8_000, 20),
        (AudioEncoding.OPUS, 48_000, 20),
        (AudioEncoding.OPUS, 48_000, 60),
    ],
)
async def test_every_microphone_is_understood_word_for_word(
    sandbox: RunningSandbox, encoding: AudioEncoding, rate_hz: int, milliseconds: float
) -> None:
    with wave.open(str(QUESTION)) as file:
        question = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    decoder, resampler = AudioDecoder(encoding, rate_hz), Resampler(rate_hz, 16_000)
    pieces = [resampler.push(decoder.decode(data)) for data in sent(question, encoding, rate_hz, milliseconds)]
    pcm = b"".join(pieces) + resampler.flush()
    settings = OpenAISettings.model_validate({"base_url": sandbox.openai_url, "api_key": KEY})
    limits = LimitSettings.model_validate({"attempts": 1, "first_output_s": 30.0})
    client = openai_client(settings, limits)
    try:
        transcriber = OpenAITranscriber(client, limits)
        utterance = Utterance(1, pcm, 16_000, 0.0, len(pcm) / 32_000)
        text = await transcriber.transcribe(utterance, TranscriptionOptions("whisper-1"))
    finally:
        await client.close()
    assert words(text) == words(TEXT)
