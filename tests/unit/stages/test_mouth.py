"""When the mouth moves."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar_service.stages.mouth import MouthTiming, is_loud

SILENCE = 30
TIMING = MouthTiming()
PRE_ROLL, HANGOVER, FADE = TIMING.pre_roll, TIMING.hangover, TIMING.fade


def weights(loud: list[bool]) -> list[float]:
    return [TIMING.weight(loud, index) for index in range(len(loud))]


def test_silence_shows_the_avatars_own_mouth() -> None:
    assert weights([False] * 50) == [0.0] * 50


def test_one_sound_opens_before_it_holds_after_it_and_fades_evenly_on_both_sides() -> None:
    around = weights([False] * SILENCE + [True] + [False] * SILENCE)
    steps = [step / (FADE + 1) for step in range(1, FADE + 1)]
    expected = [0.0] * (SILENCE - PRE_ROLL - FADE) + steps + [1.0] * (PRE_ROLL + 1 + HANGOVER) + steps[::-1]
    assert around == pytest.approx(expected + [0.0] * (len(around) - len(expected)))


def test_a_stop_between_two_words_does_not_close_the_mouth() -> None:
    loud = [False] * 10 + [True] * 5 + [False] * (PRE_ROLL + HANGOVER) + [True] * 5 + [False] * 10
    assert weights(loud)[10:25] == [1.0] * 15


@given(st.lists(st.booleans(), max_size=80))
def test_weights_are_shares_and_never_jump_by_more_than_one_step(loud: list[bool]) -> None:
    found = weights(loud)
    assert all(0.0 <= weight <= 1.0 for weight in found)
    assert all(weight == 1.0 for weight, is_loud_frame in zip(found, loud, strict=True) if is_loud_frame)
    assert all(abs(after - before) <= 1 / (FADE + 1) + 1e-9 for before, after in itertools.pairwise(found))


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.data())
def test_a_weight_depends_on_nothing_beyond_the_look_ahead(loud: list[bool], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(loud) - 1))
    known = loud[: index + TIMING.look_ahead + 1]
    assert TIMING.weight(known, index) == TIMING.weight(loud, index)


@pytest.mark.parametrize("fps", [10, 12, 15, 20, 24, 25, 30, 48, 50, 60])
@pytest.mark.parametrize("look_ahead_ms", [120, 240, 500])
def test_at_other_rates_the_times_stay_and_nothing_beyond_the_look_ahead_is_needed(
    fps: int, look_ahead_ms: int
) -> None:
    timing = MouthTiming.at(Fraction(fps), Fraction(look_ahead_ms))
    assert timing.look_ahead <= look_ahead_ms * fps / 1000
    assert abs(timing.hangover * 1000 / fps - 120) <= 500 / fps
    assert timing.pre_roll >= 1
    if look_ahead_ms >= 240:
        assert abs(timing.pre_roll * 1000 / fps - 80) <= 500 / fps
        assert abs(timing.fade * 1000 / fps - 120) <= 500 / fps


def test_at_25_fps_it_is_two_three_and_three_frames() -> None:
    assert MouthTiming.at(Fraction(25), Fraction(240)) == MouthTiming(2, 3, 3) == TIMING


@pytest.mark.parametrize(("level_db", "loud"), [(-60.0, False), (-49.0, False), (-47.0, True), (-20.0, True)])
def test_a_frame_is_loud_above_minus_48_db(level_db: float, loud: bool) -> None:
    frame = np.full(640, round(32_768 * 10 ** (level_db / 20)), np.int16)
    assert is_loud(frame) is loud
    assert is_loud(-frame) is loud


def test_no_sound_is_not_loud() -> None:
    assert is_loud(np.zeros(0, np.int16)) is False
