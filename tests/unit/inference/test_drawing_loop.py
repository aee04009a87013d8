"""What is around the drawn face: the loops of idle motion, and hair, clothes and rooms of every style."""

import itertools
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from inference.drawing.appearance import ADA, MARCUS, Clothes, Hair, Room
from inference.drawing.avatars import AVATARS, LOOP_FRAMES, DrawnAvatar, loop_pose
from inference.drawing.eyes import Pose
from inference.drawing.mouth_shape import MouthShape
from inference.drawing.render import BOX_SIZE, FRAME_SIZE, Box, Painter, face_box


@pytest.mark.parametrize("avatar", AVATARS, ids=lambda avatar: avatar.id)
def test_the_loop_starts_and_ends_at_rest_so_that_ping_pong_does_not_jerk(avatar: DrawnAvatar) -> None:
    poses = [loop_pose(frame, avatar.motion) for frame in range(LOOP_FRAMES)]
    steps = [abs(b.dx - a.dx) + abs(b.dy - a.dy) for a, b in itertools.pairwise(poses)]
    assert max(steps[0], steps[-1]) < 0.1
    assert max(steps) < 0.6
    assert poses[0].blink == poses[-1].blink == 0.0
    assert (poses[0].gaze_x, poses[-1].gaze_x) == (0.0, 0.0)
    assert max(pose.blink for pose in poses) == 1.0


def test_a_blink_closes_faster_than_it_opens() -> None:
    lids = [loop_pose(frame).blink for frame in range(LOOP_FRAMES // 2)]
    shut = [frame for frame, blink in enumerate(lids) if blink == 1.0]
    moving = [frame for frame, blink in enumerate(lids) if blink > 0]
    assert shut[0] - moving[0] < moving[-1] - shut[-1]


def test_hair_follows_the_head_a_little_later() -> None:
    poses = [loop_pose(frame) for frame in range(LOOP_FRAMES)]
    moved = [b.dx - a.dx for a, b in itertools.pairwise(poses)]
    fastest = max(range(len(moved)), key=lambda frame: abs(moved[frame]))
    assert poses[fastest].sway * moved[fastest] < 0, "the tips are behind the head"
    assert poses[0].sway == 0.0
    assert abs(poses[-1].sway) < 0.15


def test_avatars_move_each_in_their_own_way() -> None:
    loops = [[loop_pose(frame, avatar.motion) for frame in range(LOOP_FRAMES)] for avatar in AVATARS]
    for first, second in itertools.combinations(loops, 2):
        assert [pose.blink for pose in first] != [pose.blink for pose in second]
        assert [pose.gaze_x for pose in first] != [pose.gaze_x for pose in second]
        assert [pose.dx for pose in first] != [pose.dx for pose in second]


@pytest.mark.parametrize("avatar", AVATARS, ids=lambda avatar: avatar.id)
def test_face_boxes_are_whole_pixels_inside_the_frame(avatar: DrawnAvatar) -> None:
    for frame in range(LOOP_FRAMES):
        x1, y1, x2, y2 = face_box(loop_pose(frame, avatar.motion))
        assert (x2 - x1, y2 - y1) == (BOX_SIZE, BOX_SIZE)
        assert x1 >= 0
        assert y2 <= FRAME_SIZE


STYLES: list[tuple[str, Box, tuple[str, ...]]] = [
    ("hair_style", (150, 30, 362, 150), get_args(Hair)),
    ("clothes_style", (40, 400, 472, 500), get_args(Clothes)),
    ("room", (0, 0, 512, 120), get_args(Room)),
]


@pytest.mark.parametrize(("name", "box", "styles"), STYLES, ids=[name for name, _, _ in STYLES])
def test_every_style_is_a_picture_of_its_own(name: str, box: Box, styles: tuple[str, ...]) -> None:
    looks = [replace(MARCUS, **{name: style}) for style in styles]  # type: ignore[arg-type]  # a literal of this field
    pictures = [Painter(look, Pose(), box).draw(MouthShape()).astype(int) for look in looks]
    for first, second in itertools.combinations(pictures, 2):
        assert np.abs(first - second).mean() > 1.5


def test_hair_beside_the_jaw_does_not_move_with_the_mouth() -> None:
    painter = Painter(ADA, Pose(), face_box(Pose()))
    closed, wide_open = (painter.draw(MouthShape(open=value)).astype(int) for value in (0.0, 1.0))
    for columns in (slice(0, 28), slice(-28, None)):
        assert np.abs(wide_open[:, columns] - closed[:, columns]).max() == 0
