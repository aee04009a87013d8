"""Streaming sample rate conversion: sounds stay where they are, at their level, however the stream is split."""

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatar_service.media.resample import Resampler

IN_USE_HZ = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
PAIRS = list(itertools.permutations(IN_USE_HZ, 2))
ODD_PAIRS = [(11_025, 16_000), (11_025, 32_000), (12_000, 16_000), (8_001, 16_000), (47_999, 16_000), (24_000, 47_999)]
pairs = st.sampled_from(PAIRS + ODD_PAIRS)


def resample(pcm: bytes, from_hz: int, to_hz: int, cuts: tuple[int, ...] = ()) -> NDArray[np.int16]:
    resampler = Resampler(from_hz, to_hz)
    ends = sorted(2 * min(cut, len(pcm) // 2) for cut in cuts)
    pieces = [pcm[start:end] for start, end in zip([0, *ends], [*ends, len(pcm)], strict=True)]
    return np.frombuffer(b"".join(map(resampler.push, pieces)) + resampler.flush(), np.int16)


def noise(samples: int, seed: int = 0) -> bytes:
    return (np.random.default_rng(seed).normal(size=samples) * 6_000).clip(-32768, 32767).astype(np.int16).tobytes()


def tone(frequency_hz: float, rate_hz: int, seconds: float = 0.5) -> NDArray[np.int16]:
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    samples: NDArray[np.int16] = np.rint(10_000 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.int16)
    return samples


def level(samples: NDArray[np.int16]) -> float:
    """Root mean square of the middle half, where no edge disturbs."""
    middle = samples[len(samples) // 4 : -len(samples) // 4].astype(float)
    return float(np.sqrt(np.mean(middle**2)))


@settings(max_examples=150, deadline=None)
@given(pairs, st.integers(0, 6_000), st.lists(st.integers(0, 6_000), max_size=30), st.integers(0, 3))
def test_any_split_gives_the_same_output_bit_for_bit(
    pair: tuple[int, int], samples: int, cuts: list[int], seed: int
) -> None:
    pcm = noise(samples, seed)
    np.testing.assert_array_equal(resample(pcm, *pair, tuple(cuts)), resample(pcm, *pair))


@settings(max_examples=150, deadline=None)
@given(pairs, st.integers(0, 5_000))
def test_the_output_lasts_exactly_as_long_as_the_input_rounded_to_a_sample(pair: tuple[int, int], samples: int) -> None:
    from_hz, to_hz = pair
    exact = Fraction(samples * to_hz, from_hz)
    assert len(resample(noise(samples), from_hz, to_hz)) == (exact + Fraction(1, 2)).__floor__()


@settings(max_examples=200, deadline=None)
@given(pairs, st.integers(0, 3_990), st.lists(st.integers(0, 4_000), max_size=4))
def test_an_impulse_stays_where_it_was_to_one_sample_of_the_output(
    pair: tuple[int, int], at: int, cuts: list[int]
) -> None:
    from_hz, to_hz = pair
    impulse = np.zeros(4_000, np.int16)
    impulse[at] = 30_000  # not among the last samples: its peak may lie behind the last one of a lower rate
    out = resample(impulse.tobytes(), from_hz, to_hz, tuple(cuts)).astype(int)
    moved = int(np.argmax(np.abs(out))) - at * to_hz / from_hz
    assert abs(moved) <= 1


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS + ODD_PAIRS)
def test_it_holds_back_no_more_than_16_samples_of_the_lower_rate(from_hz: int, to_hz: int) -> None:
    resampler = Resampler(from_hz, to_hz)
    piece, made = noise(from_hz // 50), 0
    for count in range(1, 20):
        made += len(resampler.push(piece)) // 2
        held_s = count * (from_hz // 50) / from_hz - made / to_hz
        assert 0 <= held_s <= 18 / min(from_hz, to_hz)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS + ODD_PAIRS)
@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.8])
def test_a_tone_that_both_rates_can_carry_keeps_its_level_and_its_shape(from_hz: int, to_hz: int, share: float) -> None:
    frequency_hz = share * min(from_hz, to_hz) / 2
    out = resample(tone(frequency_hz, from_hz).tobytes(), from_hz, to_hz)
    ideal = tone(frequency_hz, to_hz)
    assert level(out) == pytest.approx(level(ideal), rel=0.01)
    off = (out.astype(int) - ideal[: len(out)]).astype(np.int16)
    assert level(off) < 10 ** (-50 / 20) * level(ideal)


@pytest.mark.parametrize(("from_hz", "to_hz"), [pair for pair in PAIRS if pair[0] > 1.2 * pair[1]])
def test_a_tone_that_the_lower_rate_cannot_carry_is_taken_away_rather_than_mirrored(from_hz: int, to_hz: int) -> None:
    sounding = tone(0.6 * to_hz, from_hz)
    assert level(resample(sounding.tobytes(), from_hz, to_hz)) < 10 ** (-40 / 20) * level(sounding)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
@pytest.mark.parametrize("constant", [-32_768, -1, 1, 5_000, 32_767])
def test_a_constant_stays_just_what_it_is(from_hz: int, to_hz: int, constant: int) -> None:
    out = resample(np.full(4_000, constant, np.int16).tobytes(), from_hz, to_hz)
    assert set(out[len(out) // 4 : -len(out) // 4]) == {constant}


def test_what_overshoots_is_clipped_and_never_wraps_around() -> None:
    square = np.where(np.arange(8_000) // 40 % 2, 32_767, -32_768).astype(np.int16)
    out = resample(square.tobytes(), 8_000, 48_000).astype(int)
    inside = square.repeat(6).astype(int)
    assert out.max() == 32_767
    assert (np.sign(out[600:-600]) == np.sign(inside[600:-600])).mean() > 0.97


def test_equal_rates_pass_through_untouched() -> None:
    pcm = noise(1_000)
    resampler = Resampler(16_000, 16_000)
    assert resampler.push(pcm) == pcm
    assert resampler.flush() == b""


def test_resamplers_start_no_threads_of_their_own() -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before = threads()
    resamplers = [Resampler(24_000, 16_000) for _ in range(10)]
    for resampler in resamplers:
        assert resampler.push(noise(2_400))
    assert threads() == before
