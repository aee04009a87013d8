"""MuseTalk's box rule, from given landmarks."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.avatar_bundle import Box
from inference.preparation.boxes import NANO, NO_BOX, V10, V15, box_rule, face_box, is_usable

DETECTOR = (30, 40, 130, 160)
SIZE = (480, 640)  # height, width


def landmarks(
    left: int = 100, right: int = 220, middle: int = 150, chin: int = 240, brow: int = 110
) -> NDArray[np.int32]:
    """68 points with these extents, the rest in between; point 29 at ``middle``."""
    points = np.zeros((68, 2), np.int32)
    points[:] = ((left + right) // 2, (brow + chin) // 2)
    points[0], points[16], points[8] = (left, middle), (right, middle), ((left + right) // 2, chin)
    points[19] = ((left + right) // 2, brow)
    points[29] = ((left + right) // 2, middle)
    return points


def box(points: NDArray[np.int32], rule: str = "v10", shift: int = 0, size: tuple[int, int] = SIZE) -> Box:
    return face_box(points, DETECTOR, size, {"v10": V10, "v15": V15}[rule], shift)


@pytest.mark.parametrize(("shift", "top"), [(0, 60), (7, 74), (-7, 46)])
def test_the_middle_of_the_box_is_landmark_29_and_moves_with_the_shift(shift: int, top: int) -> None:
    found = box(landmarks(), shift=shift)
    assert found == (100, top, 220, 240)
    assert (found[1] + found[3]) / 2 == 150 + shift


def test_version_15_adds_ten_pixels_below_the_chin() -> None:
    assert box(landmarks(), "v15") == (100, 60, 220, 250)


def test_the_margin_ends_at_the_frames_bottom() -> None:
    assert box(landmarks(), "v15", size=(244, 640)) == (100, 60, 220, 244)
    assert box(landmarks(), "v15", size=(240, 640)) == (100, 60, 220, 240)


def test_a_box_that_would_begin_above_the_frame_begins_at_its_edge() -> None:
    assert box(landmarks(middle=100)) == (100, 0, 220, 240)


def test_landmarks_left_of_the_frame_give_way_to_the_detectors_box() -> None:
    assert box(landmarks(left=-1)) == DETECTOR
    assert box(landmarks(left=-1), "v15") == (30, 40, 130, 170)
    assert box(landmarks(left=0)) == (0, 60, 220, 240)


@pytest.mark.parametrize(
    "points",
    [landmarks(left=200, right=200), landmarks(middle=240), landmarks(middle=240, chin=239)],
    ids=["no width", "no height", "the middle below the chin"],
)
def test_degenerate_landmarks_give_way_to_the_detectors_box(points: NDArray[np.int32]) -> None:
    assert box(points) == DETECTOR


def test_a_middle_shifted_below_the_chin_gives_way_to_the_detectors_box() -> None:
    """The shift moves the landmark itself, which then is the lowest: the box has no height."""
    assert box(landmarks(), shift=95) == DETECTOR


def test_the_callers_landmarks_are_left_as_they_are() -> None:
    points = landmarks()
    box(points, shift=7)
    assert np.array_equal(points, landmarks())


def test_a_box_that_leaves_the_frame_ends_at_its_edge() -> None:
    assert box(landmarks(right=700)) == (100, 60, 640, 240)
    assert box(landmarks(), size=(200, 640)) == (100, 60, 220, 200)


def test_a_face_outside_the_frame_or_too_small_has_no_box() -> None:
    assert box(landmarks(left=700, right=800)) == NO_BOX
    assert box(landmarks(left=100, right=115)) == NO_BOX
    assert box(landmarks(left=100, right=116)) == (100, 60, 116, 240)


def test_given_boxes_must_lie_in_their_picture() -> None:
    assert is_usable((0, 0, 640, 480), SIZE)
    for wrong in ((-1, 0, 64, 64), (0, -1, 64, 64), (0, 0, 641, 64), (0, 0, 64, 481), (9, 9, 9, 64), (0, 0, 64, 15)):
        assert not is_usable(wrong, SIZE)


def test_each_tier_has_its_rule() -> None:
    assert [box_rule(tier) for tier in ("musetalk-v15", "musetalk-v10", "nano")] == [V15, V10, NANO]


def test_nanos_box_is_a_square_around_the_face_cut_at_the_frames_edges() -> None:
    assert face_box(landmarks(), DETECTOR, SIZE, NANO, 0) == (58, 56, 262, 260)
    assert face_box(landmarks(left=20, right=60), DETECTOR, SIZE, NANO, 0) == (0, 56, 142, 260)
    assert face_box(landmarks(), DETECTOR, (200, 250), NANO, 0) == (58, 56, 250, 200)
    assert face_box(landmarks(middle=240), DETECTOR, SIZE, NANO, 0) == DETECTOR
