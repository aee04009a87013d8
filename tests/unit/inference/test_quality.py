"""What the lip-sync figures count: which frames are closures, which silence, and how readings become figures."""

from dataclasses import replace

import numpy as np
import pytest

from inference.config import FPS, FRAME_SAMPLES
from inference.drawing.avatars import AVATARS
from inference.training.lip_reader import Reading
from inference.training.losses import MOUTH_COLUMNS, MOUTH_ROWS
from inference.training.mouth import mouth_track
from inference.training.quality import (
    closures,
    compare_lips,
    compare_pictures,
    loudness,
    outlines,
    silent_frames,
)
from inference.training.speech import Segment
from inference.training.voice import SILENCE, Phoneme

FRAMES = 50
PHONEMES = (
    Phoneme(SILENCE, 0.0, 0.2),
    Phoneme("ɑ", 0.2, 0.5),
    Phoneme("m", 0.5, 0.6),
    Phoneme("i", 0.6, 0.9),
    Phoneme(SILENCE, 0.9, 1.3),
    Phoneme("u", 1.3, 1.5),
    Phoneme(SILENCE, 1.5, 1.6),
)
LOOK = AVATARS[0].look


@pytest.fixture
def segment() -> Segment:
    return Segment(np.zeros(FRAMES * FRAME_SAMPLES, np.int16), mouth_track(PHONEMES, FRAMES), PHONEMES)


@pytest.fixture
def truth(segment: Segment) -> list[Reading]:
    return outlines(segment.truth, LOOK)


def test_a_closure_is_the_middle_of_its_sound_and_a_frame_around_it(segment: Segment) -> None:
    assert closures(segment) == [range(12, 15)]
    assert segment.truth[13, 0] < 0.03


def test_silence_is_counted_where_the_truth_is_shut_for_sure(segment: Segment) -> None:
    frames = [moment.start for moment in silent_frames(segment)]
    assert frames == [0, 1, 2, *range(25, 30), *range(40, FRAMES)]
    assert segment.truth[frames, 0].max() < 0.03


def test_the_truth_agrees_with_itself_wholly(segment: Segment, truth: list[Reading]) -> None:
    lips = compare_lips([segment], [truth], [truth])
    assert (lips.r_opening, lips.r_width, lips.r_roundness) == pytest.approx((1.0, 1.0, 1.0))
    assert lips.lag_frames == 0
    assert lips.closed_on_pbm == 1.0
    assert lips.closed_in_silence == 1.0


def test_late_lips_show_their_lag_and_open_ones_miss_their_closures(segment: Segment, truth: list[Reading]) -> None:
    late = compare_lips([segment], [[*truth[:1] * 2, *truth[:-2]]], [truth])
    assert late.lag_frames == 2
    ajar = [Reading(reading.opening + 3.0, reading.width) for reading in truth]
    lips = compare_lips([segment], [ajar], [truth])
    assert lips.r_opening == pytest.approx(1.0)
    assert (lips.closed_on_pbm, lips.closed_in_silence) == (0.0, 0.0)


def test_pictures_are_compared_around_the_mouth_and_below_the_mask() -> None:
    rng = np.random.default_rng(2)
    drawn = rng.integers(0, 255, (128, 256, 3)).astype(np.uint8)
    elsewhere, mouth = drawn.copy(), drawn.copy()
    elsewhere[:20] = 0
    mouth[MOUTH_ROWS[0] - 128 + 20 : MOUTH_ROWS[0] - 128 + 40, slice(*MOUTH_COLUMNS)] = 0
    same, off, wrong = (compare_pictures([(picture, drawn)]) for picture in (drawn, elsewhere, mouth))
    assert same.ssim_mouth == off.ssim_mouth == pytest.approx(1.0)
    assert off.psnr_mouth_db > 100 > off.psnr_lower_half_db
    assert wrong.ssim_mouth < 0.9
    assert wrong.psnr_mouth_db < wrong.psnr_lower_half_db


def test_loudness_is_in_decibels_of_each_frame(segment: Segment) -> None:
    loud = segment.samples.copy()
    loud[25 * FRAME_SAMPLES :] = 3277
    levels = loudness(replace(segment, samples=loud))
    assert len(levels) == FRAMES == 2 * FPS
    assert levels[10] == pytest.approx(-60)
    assert levels[40] == pytest.approx(-20, abs=0.01)
