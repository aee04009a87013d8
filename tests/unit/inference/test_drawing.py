"""The drawn face: what each of the six numbers moves, and what stays where it is."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.config import HIDDEN_ROW
from inference.drawing.appearance import ADA, random_appearance
from inference.drawing.avatars import LOOP_FRAMES, loop_pose
from inference.drawing.eyes import Pose
from inference.drawing.mouth_shape import MAX_GAP, MouthShape, mouth_outline
from inference.drawing.render import BOX_SIZE, FRAME_SIZE, Painter, draw_crop, draw_frame, face_box
from inference.drawing.svg import curve, mix
from inference.training.lip_reader import LipReader

HALF_OPEN = MouthShape(open=0.4, upper_teeth=0.3, tongue=0.2)
CHANGES = {
    "open": replace(HALF_OPEN, open=0.8),
    "width": replace(HALF_OPEN, width=1.0),
    "round": replace(HALF_OPEN, round=1.0),
    "upper_teeth": replace(HALF_OPEN, upper_teeth=0.8),
    "tongue": replace(HALF_OPEN, tongue=1.0),
    "lip_tuck": replace(HALF_OPEN, lip_tuck=1.0),
}


@pytest.fixture(scope="module")
def painter() -> Painter:
    """Ada's face box at rest; only the mouth is drawn anew for each picture."""
    return Painter(ADA, Pose(), face_box(Pose()))


@pytest.fixture(scope="module")
def closed(painter: Painter) -> NDArray[np.uint8]:
    return painter.draw(MouthShape())


@pytest.fixture(scope="module")
def half_open(painter: Painter) -> NDArray[np.uint8]:
    return painter.draw(HALF_OPEN)


@pytest.mark.parametrize("name", CHANGES)
def test_each_number_changes_the_mouth_and_nothing_above_the_mask(
    painter: Painter, half_open: NDArray[np.uint8], name: str
) -> None:
    changed = painter.draw(CHANGES[name])
    difference = np.abs(changed.astype(int) - half_open)
    mouth = difference[170:235, 80:176]
    assert (mouth.max(axis=2) > 12).sum() > 40, "the change must be seen, not only measured"
    assert difference[:HIDDEN_ROW].max() <= 6, "what is above the mask is never painted: only light may differ, unseen"


def test_lips_at_rest_have_no_gap(closed: NDArray[np.uint8]) -> None:
    assert LipReader.for_face(closed).opening(closed) == 0.0


@pytest.mark.parametrize("shape", [MouthShape(width=1.0), MouthShape(round=1.0)])
def test_a_closed_mouth_stays_closed_when_it_spreads_or_rounds(
    painter: Painter, closed: NDArray[np.uint8], shape: MouthShape
) -> None:
    assert LipReader.for_face(closed).opening(painter.draw(shape)) == 0.0


@pytest.mark.parametrize("teeth", [0.0, 0.6])
def test_the_reader_rises_with_the_opening_and_reads_pixels(
    painter: Painter, closed: NDArray[np.uint8], teeth: float
) -> None:
    reader = LipReader.for_face(closed)
    opens = (0.0, 0.12, 0.3, 0.55, 1.0)
    read = [reader.opening(painter.draw(MouthShape(open=value, upper_teeth=teeth))) for value in opens]
    assert read == sorted(read)
    assert np.allclose(read, [MAX_GAP * value for value in opens], atol=1.6)


def test_the_chin_follows_the_jaw(painter: Painter, closed: NDArray[np.uint8]) -> None:
    wide_open = painter.draw(MouthShape(open=1.0))
    chin = np.abs(wide_open[232:254, 100:156].astype(int) - closed[232:254, 100:156])
    assert chin.max() > 30
    assert mouth_outline(MouthShape(open=1.0), ADA).jaw > 10


def test_a_crop_shows_the_pixels_of_its_frame() -> None:
    pose, shape = loop_pose(7), MouthShape(open=0.5, upper_teeth=0.5)
    x1, y1, x2, y2 = face_box(pose)
    frame, crop = draw_frame(shape, pose, ADA), draw_crop(shape, pose, ADA)
    assert frame.shape == (FRAME_SIZE, FRAME_SIZE, 3)
    assert crop.shape == (BOX_SIZE, BOX_SIZE, 3)
    assert np.abs(frame[y1:y2, x1:x2].astype(int) - crop).mean() < 0.2


def test_the_loop_starts_and_ends_at_rest_so_that_ping_pong_does_not_jerk() -> None:
    poses = [loop_pose(frame) for frame in range(LOOP_FRAMES)]
    steps = [abs(b.dx - a.dx) + abs(b.dy - a.dy) for a, b in itertools.pairwise(poses)]
    assert max(steps[0], steps[-1]) < 0.1
    assert max(steps) < 0.6
    assert poses[0].blink == poses[-1].blink == 0.0
    assert max(pose.blink for pose in poses) == 1.0


def test_face_boxes_are_whole_pixels_inside_the_frame() -> None:
    for frame in range(LOOP_FRAMES):
        x1, y1, x2, y2 = face_box(loop_pose(frame))
        assert (x2 - x1, y2 - y1) == (BOX_SIZE, BOX_SIZE)
        assert x1 >= 0
        assert y2 <= FRAME_SIZE


def test_a_seed_names_an_identity() -> None:
    first, again, other = (random_appearance(np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert first == again
    assert first != other


def test_colours_mix_and_curves_pass_through_their_points() -> None:
    assert mix("#000000", "#ffffff", 0.5) == "#808080"
    path = curve([(0, 0), (10, 5), (20, 0)])
    assert path.startswith("M0.00 0.00C")
    assert "10.00 5.00C" in path
    assert path.endswith("20.00 0.00")
