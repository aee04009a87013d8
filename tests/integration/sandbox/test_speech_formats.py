"""Every output format carries the same speech: decoded, it is the PCM of the same request."""

import io
from typing import Any

import av
import numpy as np
import pytest
import soxr
from elevenlabs.client import AsyncElevenLabs
from numpy.typing import NDArray

from avatar_service.sandbox.speech_formats import CONVERT_FORMATS, STREAM_FORMATS
from tests.integration.sandbox.sdk import elevenlabs_client, speech
from tests.integration.sandbox_fixture import VOICE_ID, RunningSandbox

TEXT = "Paris is known for art."
RAW = {"ulaw": "mulaw", "alaw": "alaw", "pcm": "s16le"}
MP3_DELAY_SAMPLES = 1105
"""What an MP3 stream without a header begins with: LAME's 576 samples and the decoder's 529."""


def decoded(sound: bytes, name: str) -> NDArray[np.float64]:
    """Samples [n] at 24 kHz."""
    codec, rate_hz = name.split("_")[:2]
    raw: dict[str, Any] = {"format": RAW[codec], "options": {"sample_rate": rate_hz}} if codec in RAW else {}
    resampler = av.AudioResampler(format="flt", layout="mono", rate=int(rate_hz))
    with av.open(io.BytesIO(sound), **raw) as container:
        blocks = [block for frame in container.decode(audio=0) for block in resampler.resample(frame)]
    samples = np.concatenate([block.to_ndarray()[0] for block in blocks]).astype(np.float64)
    at_24_khz: NDArray[np.float64] = soxr.resample(samples, int(rate_hz), 24_000)
    return at_24_khz


def similarity(sound: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    length = min(len(sound), len(reference))
    product = np.corrcoef(sound[:length], reference[:length])
    return float(product[0, 1])


async def converted(client: AsyncElevenLabs, name: str) -> bytes:
    return b"".join([chunk async for chunk in client.text_to_speech.convert(VOICE_ID, text=TEXT, output_format=name)])


@pytest.mark.parametrize("name", sorted(STREAM_FORMATS))
async def test_a_streamed_format_carries_the_same_speech(sandbox: RunningSandbox, name: str) -> None:
    async with elevenlabs_client(sandbox) as client:
        reference = decoded(await speech(client, TEXT), "pcm_24000")
        sound = decoded(await speech(client, TEXT, name), name)
    rate_hz = int(name.split("_")[1])
    if name.startswith("mp3"):
        sound = sound[round(MP3_DELAY_SAMPLES * 24_000 / rate_hz) :]
        assert 0 <= len(sound) - len(reference) < 0.06 * 24_000, "the last frame is padded"
    else:
        assert len(sound) == pytest.approx(len(reference), abs=24)
    # What an 8 kHz or 32 kbit/s format leaves out of this voice is about a fiftieth of its energy.
    assert similarity(sound, reference) > 0.97


@pytest.mark.parametrize("name", sorted(set(CONVERT_FORMATS) - set(STREAM_FORMATS)))
async def test_a_whole_answer_can_be_a_wav_file_too(sandbox: RunningSandbox, name: str) -> None:
    async with elevenlabs_client(sandbox) as client:
        wav, pcm = await converted(client, name), await converted(client, name.replace("wav", "pcm"))
    assert wav[:4] == b"RIFF"
    assert wav[44:] == pcm


async def test_without_a_format_the_answer_is_mp3(sandbox: RunningSandbox) -> None:
    async with elevenlabs_client(sandbox) as client:
        sound = b"".join([chunk async for chunk in client.text_to_speech.stream(VOICE_ID, text=TEXT)])
        assert sound == await speech(client, TEXT, "mp3_44100_128")
