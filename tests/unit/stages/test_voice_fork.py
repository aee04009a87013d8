"""One voice to several outputs."""

import asyncio
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_service.channel import Channel
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import SpeechChunk
from avatar_service.stages.voice_fork import FED_MS, SpeechOutput, VoiceFork

TIMELINE = Timeline(24_000, Fraction(25))


async def forked(
    pcm: bytes, rate_hz: int, timelines: list[Timeline], cuts: list[int], delay_s: float = 0.0
) -> list[list[SpeechChunk]]:
    """What each output gets of one voice that comes in pieces."""
    outputs = [SpeechOutput(Channel[SpeechChunk]("output", 10_000), timeline, delay_s) for timeline in timelines]
    fork = VoiceFork(rate_hz, outputs)
    ends = sorted(2 * min(cut, len(pcm) // 2) for cut in cuts)
    for start, end in zip([0, *ends], [*ends, len(pcm)], strict=True):
        await fork.push(pcm[start:end])
    assert fork.received_s == len(pcm) / 2 / rate_hz
    await fork.finish()
    fork.close()
    return [[chunk async for chunk in output.channel] for output in outputs]


RATES_HZ = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000]
FRAME_RATES = [Fraction(25), Fraction(30_000, 1_001), Fraction(24_000, 1_001), Fraction(10), Fraction(50), Fraction(60)]


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(RATES_HZ),
    st.lists(st.sampled_from(RATES_HZ), min_size=1, max_size=3),
    st.sampled_from(FRAME_RATES),
    st.integers(0, 6_000),
    st.lists(st.integers(0, 6_000), max_size=8),
    st.sampled_from([0.0, 0.0065]),
)
def test_every_output_has_the_chunks_that_the_voice_as_it_came_lasts(
    rate_hz: int, rates_hz: list[int], fps: Fraction, samples: int, cuts: list[int], delay_s: float
) -> None:
    voice = np.full(samples, 1_000, np.int16).tobytes()
    timelines = [Timeline(rate, fps) for rate in rates_hz]
    outputs = asyncio.run(forked(voice, rate_hz, timelines, cuts, delay_s))
    duration = Fraction(samples + ceil(delay_s * rate_hz) if samples else 0, rate_hz)
    for timeline, chunks in zip(timelines, outputs, strict=True):
        assert [chunk.index for chunk in chunks] == list(range(ceil(duration * fps)))
        assert [len(chunk.pcm) // 2 for chunk in chunks] == [timeline.chunk_samples(chunk.index) for chunk in chunks]
        heard = np.frombuffer(b"".join(chunk.pcm for chunk in chunks), np.int16)
        # The voice up to its last sample, and silence behind; at other rates it begins and ends with the filter's ring.
        end = round(Fraction(samples, rate_hz) * timeline.rate_hz)
        ring = 0 if timeline.rate_hz == rate_hz else timeline.rate_hz * 50 // min(timeline.rate_hz, rate_hz)
        assert (heard[ring : max(ring, end - ring)] == 1_000).all()
        assert not heard[end + 1 :].any()


async def test_an_impulse_is_in_the_same_chunk_and_place_of_every_output() -> None:
    voice = np.zeros(24_000, np.int16)
    voice[13_579] = 30_000
    fps = Fraction(30_000, 1_001)
    timelines = [Timeline(rate_hz, fps) for rate_hz in RATES_HZ]
    for timeline, chunks in zip(timelines, await forked(voice.tobytes(), 24_000, timelines, [1, 5_000]), strict=True):
        heard = np.frombuffer(b"".join(chunk.pcm for chunk in chunks), np.int16).astype(int)
        assert abs(int(np.argmax(np.abs(heard))) - 13_579 * timeline.rate_hz / 24_000) <= 1


async def test_a_long_piece_keeps_no_output_waiting_for_another_that_is_full() -> None:
    audio, to_animate = Channel[SpeechChunk]("audio", 4), Channel[SpeechChunk]("to_animate", 1_000)
    fork = VoiceFork(24_000, (SpeechOutput(audio, TIMELINE), SpeechOutput(to_animate, TIMELINE)))
    pushing = asyncio.create_task(fork.push(bytes(2 * 24_000)))
    await asyncio.sleep(1.0)
    assert (len(audio), len(to_animate)) == (4, 4)
    pushing.cancel()
    await asyncio.wait({pushing})


def test_outputs_of_different_frame_rates_are_refused() -> None:
    outputs = [SpeechOutput(Channel("output", 1), Timeline(24_000, Fraction(fps))) for fps in (25, 30)]
    with pytest.raises(ValueError, match="same frame rate"):
        VoiceFork(24_000, outputs)


async def test_it_is_fed_while_every_output_has_voice_in_hand() -> None:
    audio, to_animate = Channel[SpeechChunk]("audio", 1_000), Channel[SpeechChunk]("to_animate", 1_000)
    fork = VoiceFork(24_000, (SpeechOutput(audio, TIMELINE), SpeechOutput(to_animate, TIMELINE)))
    chunks = TIMELINE.chunks_in(FED_MS)
    await fork.push(bytes(1_920 * (chunks - 1)))
    assert not fork.is_fed
    await fork.push(bytes(1_920))
    assert fork.is_fed
    await anext(to_animate)
    assert not fork.is_fed
