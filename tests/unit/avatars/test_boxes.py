"""Where the face is in each frame: gaps, frames left out, smoothing, bounds."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar_service.avatars.boxes import Track, bounded, found_track, given_track, scaled, smoothed
from avatar_service.engines.base import Box, FoundFace
from avatar_service.errors import InvalidArgument

FPS = Fraction(25)
LONGEST_GAP = 12
"""Frames in half a second."""


def face(left: int) -> FoundFace:
    return FoundFace((left, 50, left + 100, 170), 0.9)


def test_a_face_in_every_frame_is_kept_as_it_was_found() -> None:
    track = found_track([face(10), face(12), face(14)], FPS)
    assert track == Track(3, (0, 1, 2), ((10, 50, 110, 170), (12, 50, 112, 170), (14, 50, 114, 170)))
    assert (track.interpolated, track.dropped) == (0, 0)


def test_a_short_gap_is_interpolated_on_the_line_between() -> None:
    track = found_track([face(10), None, None, face(40)], FPS)
    assert track.kept == (0, 1, 2, 3)
    assert [box[0] for box in track.boxes] == [10, 20, 30, 40]
    assert (track.interpolated, track.dropped) == (2, 0)


@pytest.mark.parametrize(("missing", "dropped"), [(LONGEST_GAP, 0), (LONGEST_GAP + 1, LONGEST_GAP + 1)])
def test_a_gap_of_more_than_half_a_second_is_left_out_of_all_lists(missing: int, dropped: int) -> None:
    track = found_track([face(10), *[None] * missing, face(10)], FPS)
    assert (track.dropped, track.interpolated) == (dropped, missing - dropped)
    assert len(track.kept) == len(track.boxes) == missing + 2 - dropped


def test_frames_before_the_first_face_and_after_the_last_are_left_out() -> None:
    track = found_track([None, face(10), face(10), None], FPS)
    assert (track.kept, track.interpolated, track.dropped) == ((1, 2), 0, 2)


@pytest.mark.parametrize("faces", [[None], [None] * 30, [FoundFace((10, 10, 41, 90), 0.9)]])
def test_no_face_at_all_is_refused(faces: list[FoundFace | None]) -> None:
    with pytest.raises(InvalidArgument, match="no face of at least 32 pixels was found") as refused:
        found_track(faces, FPS)
    assert refused.value.reason == "FACE_NOT_FOUND"


@given(st.lists(st.booleans(), min_size=1, max_size=80))
def test_every_list_has_an_entry_for_each_frame_that_is_kept(seen: list[bool]) -> None:
    faces = [face(index) if there else None for index, there in enumerate(seen)]
    if not any(seen):
        return
    track = found_track(faces, FPS)
    assert len(track.kept) == len(track.boxes) == len(seen) - track.dropped
    assert list(track.kept) == sorted(set(track.kept))
    assert len(track.kept) - track.interpolated == sum(seen)
    # The face moves a pixel a frame, so that interpolation puts it where it would have been.
    assert [box[0] for box in track.boxes] == list(track.kept)


def test_the_callers_boxes_are_one_for_all_or_one_a_frame() -> None:
    box: Box = (0, 0, 64, 64)
    assert given_track([box], 3).boxes == (box,) * 3
    assert given_track([box, (1, 0, 65, 64)], 2).boxes[1] == (1, 0, 65, 64)
    with pytest.raises(InvalidArgument, match=r"has 2 boxes, and the source 3 frames; give 1 or 3"):
        given_track([box, box], 3)


def test_smoothing_takes_jitter_and_leaves_where_the_face_goes() -> None:
    jitter = np.random.default_rng(0).integers(-3, 4, 100)
    faces = [face(20 + 2 * index + int(jitter[index])) for index in range(100)]
    rough = found_track(faces, FPS)
    calm = smoothed(rough, FPS)
    assert calm.kept == rough.kept
    away = np.array([box[0] - 20 - 2 * index for index, box in enumerate(calm.boxes)])
    assert np.abs(away[6:-6]).mean() < np.abs(jitter).mean() / 2
    assert np.abs(away).max() < 12


def test_smoothing_does_not_reach_over_frames_that_are_left_out() -> None:
    faces = [face(0)] * 10 + [None] * (LONGEST_GAP + 1) + [face(400)] * 10
    calm = smoothed(found_track(faces, FPS), FPS)
    assert [box[0] for box in calm.boxes] == [0] * 10 + [400] * 10


def test_one_picture_needs_no_smoothing() -> None:
    track = given_track([(0, 0, 64, 64)], 1)
    assert smoothed(track, FPS) == track


def test_boxes_are_cut_to_the_frame_and_refused_where_nothing_is_left() -> None:
    assert bounded(given_track([(-10, 20, 100, 300)], 1), 320, 240).boxes == ((0, 20, 100, 240),)
    with pytest.raises(InvalidArgument, match=r"box of frame 0 has less than 32 pixels a side"):
        bounded(given_track([(300, 20, 400, 120)], 1), 320, 240)


def test_boxes_follow_the_scale_of_their_picture() -> None:
    assert scaled([(10, 20, 110, 220)], 0.5) == ((5, 10, 55, 110),)
