"""The text to speech adapter against the real sandbox: every format says the same words at the same places."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import httpx
import numpy as np
import pytest
from elevenlabs.client import AsyncElevenLabs
from numpy.typing import NDArray

from avatar.v1 import AudioEncoding as WireEncoding
from avatar_service.engines.base import Voice
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.media.heard import Spoken
from avatar_service.media.resample import Resampler
from avatar_service.media.wire_audio import AudioDecoder, AudioEncoding
from avatar_service.settings import ElevenLabsSettings, LimitSettings
from tests.integration.sandbox_fixture import KEY, VOICE_ID, RunningSandbox, running_sandbox
from tests.service.calls import Fakes, serving, write_avatars
from tests.unit.media.sounds import delay_s

VOICE = Voice(VOICE_ID, "eleven_multilingual_v2")
SENTENCES = ("The capital of France is Paris.", "It is known for art, fashion, and culture.")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@asynccontextmanager
async def speaking(sandbox: RunningSandbox, output_format: str) -> AsyncIterator[ElevenLabsSpeech]:
    settings = ElevenLabsSettings.model_validate(
        {"base_url": sandbox.elevenlabs_url, "api_key": KEY, "output_format": output_format}
    )
    speech = ElevenLabsSpeech(settings, LimitSettings.model_validate({"attempts": 1, "first_output_s": 30.0}))
    try:
        yield speech
    finally:
        await speech.aclose()


async def said(sandbox: RunningSandbox, output_format: str, rate_hz: int) -> list[NDArray[np.int16]]:
    """Both sentences, one request each, at `rate_hz`."""
    voices = []
    async with speaking(sandbox, output_format) as speech:
        for text in SENTENCES:
            resampler = Resampler(speech.rate_hz, rate_hz)
            async with aclosing(speech.synthesize(text, VOICE, "")) as pieces:
                pcm = b"".join([resampler.push(piece.pcm) async for piece in pieces]) + resampler.flush()
            voices.append(np.frombuffer(pcm, np.int16))
    return voices


@pytest.mark.parametrize(
    "output_format",
    ["pcm_44100", "mp3_44100_128", "mp3_44100_192", "mp3_22050_32", "mp3_24000_48", "ulaw_8000", "opus_48000_64"],
)
async def test_words_move_less_than_10_ms_in_any_format(sandbox: RunningSandbox, output_format: str) -> None:
    rate_hz = 24_000
    as_pcm = await said(sandbox, "pcm_24000", rate_hz)
    heard = await said(sandbox, output_format, rate_hz)
    for before, after in zip(as_pcm, heard, strict=True):
        assert abs(delay_s(before, after, rate_hz)) < 0.001
        assert abs(len(after) - len(before)) / rate_hz <= 0.03
    # Joined as a turn joins them, the second sentence begins where it does in PCM, but for the end of the first.
    together = delay_s(np.concatenate(as_pcm), np.concatenate([heard[0], heard[1]]), rate_hz)
    assert abs(together) < 0.01
    second = (len(heard[0]) - len(as_pcm[0])) / rate_hz
    assert abs(second) < 0.03


@pytest.mark.parametrize("output_format", ["pcm_24000", "mp3_44100_128"])
async def test_each_word_lies_in_order_inside_its_voice(sandbox: RunningSandbox, output_format: str) -> None:
    text = SENTENCES[1]
    spoken, pcm = Spoken(), b""
    async with speaking(sandbox, output_format) as speech:
        spoken.begin(text, 0.0)
        async with aclosing(speech.synthesize(text, VOICE, "")) as pieces:
            async for piece in pieces:
                spoken.align(piece.characters)
                pcm += piece.pcm
        whole_s = len(pcm) / 2 / speech.rate_hz
        told = list(spoken.words)
        spoken.end(whole_s)
    assert "".join(word.text for word in told) == f"{text} "
    assert not any(word.estimated for word in told)
    edges = [edge for word in told for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges)
    assert edges[-1] == pytest.approx(whole_s, abs=0.2)
    assert edges[-1] <= whole_s + 0.05
    # Every word is more than silence.
    samples = np.frombuffer(pcm, np.int16).astype(float)
    for word in spoken.words:
        voice = samples[int(word.start_s * speech.rate_hz) : int(word.end_s * speech.rate_hz)]
        assert np.abs(voice).max() > 500, word


async def test_the_voice_is_the_plain_streams_to_the_sample(sandbox: RunningSandbox) -> None:
    settings = ElevenLabsSettings.model_validate({"base_url": sandbox.elevenlabs_url, "api_key": KEY})
    async with speaking(sandbox, "pcm_24000") as speech:
        async with aclosing(speech.synthesize(SENTENCES[0], VOICE, "")) as pieces:
            timed = b"".join([piece.pcm async for piece in pieces])
        async with aclosing(speech.synthesize(SENTENCES[0], VOICE, "")) as pieces:
            again = b"".join([piece.pcm async for piece in pieces])
    async with httpx.AsyncClient(timeout=30.0) as http:
        client = AsyncElevenLabs(base_url=settings.base_url, api_key=KEY, httpx_client=http)
        plain = client.text_to_speech.stream(
            VOICE_ID, text=SENTENCES[0], model_id=VOICE.model, output_format="pcm_24000"
        )
        assert timed == again == b"".join([piece async for piece in plain])
    routes = [request["route"] for request in sandbox.requests() if "text-to-speech" in request["route"]][-3:]
    assert [route.endswith("with-timestamps") for route in routes] == [True, True, False]


async def test_the_sandboxs_voices_are_listed(sandbox: RunningSandbox) -> None:
    async with speaking(sandbox, "pcm_24000") as speech:
        voices = {voice.voice_id: voice for voice in await speech.voices()}
    assert voices[VOICE_ID].display_name == "Rachel"
    assert "en" in voices[VOICE_ID].language_codes
    assert voices[VOICE_ID].settings == Voice(VOICE_ID, "")


@pytest.mark.parametrize(
    ("output_format", "wire", "encoding", "rate_hz"),
    [
        ("pcm_24000", WireEncoding.AUDIO_ENCODING_OPUS, AudioEncoding.OPUS, 48_000),
        ("mp3_44100_128", WireEncoding.AUDIO_ENCODING_OPUS, AudioEncoding.OPUS, 48_000),
        ("mp3_44100_128", WireEncoding.AUDIO_ENCODING_LINEAR16, AudioEncoding.LINEAR16, 24_000),
        ("opus_48000_64", WireEncoding.AUDIO_ENCODING_MULAW, AudioEncoding.MULAW, 8_000),
    ],
)
async def test_from_the_vendor_to_the_client_words_move_less_than_10_ms_and_every_frame_comes(
    sandbox: RunningSandbox, tmp_path: Path, output_format: str, wire: Any, encoding: AudioEncoding, rate_hz: int
) -> None:
    async with (
        speaking(sandbox, output_format) as speech,
        serving(write_avatars(tmp_path, "ada"), Fakes(speech=cast(Any, speech))) as server,
    ):
        call = server.speak(
            " ".join(SENTENCES),
            output_audio={"encoding": wire, "sample_rate_hertz": rate_hz},
            pacing={"unpaced": True},
        )
        assert await call.end() is grpc.StatusCode.OK
    decoder, resampler = AudioDecoder(encoding, rate_hz), Resampler(rate_hz, 24_000)
    pieces = [resampler.push(decoder.decode(audio.data)) for audio in call.all("audio")]
    heard = np.frombuffer(b"".join(pieces) + resampler.flush(), np.int16)
    as_pcm = np.concatenate(await said(sandbox, "pcm_24000", 24_000))
    assert abs(delay_s(as_pcm, heard, 24_000)) < 0.01
    assert [frame.index for frame in call.all("frame")] == list(range(round(len(heard) / 24_000 * 25)))
    assert len(heard) >= len(as_pcm) + encoding.delay_s * 24_000 - 0.03 * 24_000
