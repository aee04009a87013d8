"""Streaming sample rate conversion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatar_service.media.resample import Resampler

RATES = [(8_000, 16_000), (22_050, 16_000), (24_000, 16_000), (44_100, 16_000), (48_000, 16_000), (16_000, 24_000)]


def resample(pcm: bytes, from_hz: int, to_hz: int, cuts: tuple[int, ...] = ()) -> NDArray[np.int16]:
    resampler = Resampler(from_hz, to_hz)
    ends = sorted(2 * min(cut, len(pcm) // 2) for cut in cuts)
    pieces = [pcm[start:end] for start, end in zip([0, *ends], [*ends, len(pcm)], strict=True)]
    return np.frombuffer(b"".join(map(resampler.push, pieces)) + resampler.flush(), np.int16)


def noise(samples: int, seed: int = 0) -> bytes:
    return (np.random.default_rng(seed).normal(size=samples) * 6_000).clip(-32768, 32767).astype(np.int16).tobytes()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RATES), st.integers(0, 9_000), st.lists(st.integers(0, 9_000), max_size=30))
def test_any_split_gives_the_same_output(rates: tuple[int, int], samples: int, cuts: list[int]) -> None:
    pcm = noise(samples)
    np.testing.assert_array_equal(resample(pcm, *rates, tuple(cuts)), resample(pcm, *rates))


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
@pytest.mark.parametrize("position", [0.0, 0.0123, 0.25, 0.4987])
def test_an_impulse_stays_where_it_was_to_one_sample(from_hz: int, to_hz: int, position: float) -> None:
    impulse = np.zeros(from_hz // 2, np.int16)
    at = round(position * from_hz)
    impulse[at] = 30_000
    out = resample(impulse.tobytes(), from_hz, to_hz)
    assert abs(int(np.argmax(np.abs(out.astype(int)))) - at * to_hz / from_hz) <= 1


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_the_output_lasts_as_long_as_the_input(from_hz: int, to_hz: int) -> None:
    assert abs(len(resample(noise(3 * from_hz), from_hz, to_hz)) - 3 * to_hz) <= 1


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_a_tone_of_speech_keeps_its_level(from_hz: int, to_hz: int) -> None:
    tone = (10_000 * np.sin(2 * np.pi * 1_000 * np.arange(from_hz) / from_hz)).astype(np.int16)
    middle = resample(tone.tobytes(), from_hz, to_hz)[to_hz // 4 : -to_hz // 4].astype(float)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(10_000 / np.sqrt(2), rel=0.01)


def test_equal_rates_pass_through_untouched() -> None:
    pcm = noise(1_000)
    resampler = Resampler(16_000, 16_000)
    assert resampler.push(pcm) == pcm
    assert resampler.flush() == b""
