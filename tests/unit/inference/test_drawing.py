"""The drawn faces: what each of the six numbers moves, what stays where it is, and how the light falls."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.config import HIDDEN_ROW
from inference.drawing.appearance import ADA, MARCUS, random_appearance
from inference.drawing.avatars import AVATARS, DrawnAvatar, loop_pose
from inference.drawing.eyes import Pose
from inference.drawing.face import face_path, paint_skin
from inference.drawing.mouth_shape import MAX_GAP, MouthOutline, MouthShape, mouth_outline
from inference.drawing.relief import Grid
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


@pytest.fixture(scope="module", params=AVATARS, ids=[avatar.id for avatar in AVATARS])
def painter(request: pytest.FixtureRequest) -> Painter:
    """A bundled face's box at rest; only the mouth is drawn anew for each picture."""
    avatar: DrawnAvatar = request.param
    return Painter(avatar.look, Pose(), face_box(Pose()))


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


@pytest.mark.parametrize("avatar", AVATARS, ids=[avatar.id for avatar in AVATARS])
def test_nothing_moves_below_the_face_box_where_nothing_is_painted(avatar: DrawnAvatar) -> None:
    x1, _, x2, bottom = face_box(Pose())
    strip = Painter(avatar.look, Pose(), (x1, bottom - 2, x2, bottom + 30))
    difference = np.abs(strip.draw(MouthShape(open=1.0)).astype(int) - strip.draw(MouthShape()))
    assert difference.max() <= 1, "a shadow that stops moving at the box's edge shows the edge"


def test_a_crop_shows_the_pixels_of_its_frame() -> None:
    pose, shape = loop_pose(7), MouthShape(open=0.5, upper_teeth=0.5)
    x1, y1, x2, y2 = face_box(pose)
    frame, crop = draw_frame(shape, pose, ADA), draw_crop(shape, pose, ADA)
    assert frame.shape == (FRAME_SIZE, FRAME_SIZE, 3)
    assert crop.shape == (BOX_SIZE, BOX_SIZE, 3)
    assert np.abs(frame[y1:y2, x1:x2].astype(int) - crop).mean() < 0.2


def test_a_part_of_a_painter_s_box_shows_the_same_pixels(painter: Painter, half_open: NDArray[np.uint8]) -> None:
    lower = painter.below(HIDDEN_ROW).draw(HALF_OPEN)
    difference = np.abs(lower.astype(int) - half_open[HIDDEN_ROW:])
    assert difference[2:].max() <= 1
    assert difference.max() <= 4, "at its first row a relief has no neighbour above"


def test_the_light_comes_from_the_upper_left(closed: NDArray[np.uint8]) -> None:
    grey = closed.astype(float).mean(axis=2)
    left, right = grey[118:134, 68:82].mean(), grey[118:134, 174:188].mean()  # the cheekbones
    under_lip, chin = grey[200:204, 120:136].mean(), grey[217:223, 116:132].mean()
    assert left > 1.08 * right
    assert chin > 1.05 * under_lip


def test_the_bundled_faces_are_two_people_and_not_one_recoloured() -> None:
    ada, marcus = mouth_outline(MouthShape(), ADA), mouth_outline(MouthShape(), MARCUS)
    assert face_path(ADA, 0.0) != face_path(MARCUS, 0.0)
    assert MARCUS.jaw_width > 1.1 * ADA.jaw_width
    assert MARCUS.nose_width > 1.2 * ADA.nose_width
    assert _thickness(marcus) > 1.2 * _thickness(ada)


def _thickness(mouth: MouthOutline) -> float:
    """Pixels from the upper lip's edge to the lower lip's, in the middle."""
    middle = len(mouth.outer_upper) // 2
    return mouth.outer_lower[middle][1] - mouth.outer_upper[middle][1]


@pytest.mark.parametrize("skin", ["#f6d9c4", "#c98e66", "#8a5a3c", "#4a2d20"])
def test_skin_of_any_tone_keeps_its_modelling(skin: str) -> None:
    look = replace(ADA, skin=skin)
    grid = Grid.of(face_box(Pose()), 0.0, 0.0)
    lit = paint_skin(grid, MouthShape(), mouth_outline(MouthShape(), look), look)
    cheeks = lit[110:150, 50:206].mean(axis=2)
    assert lit.min() >= 0
    assert lit.max() <= 255
    assert cheeks.std() > 4, "a flat mask"
    assert (lit[110:150, 50:206] > 254).mean() < 0.02, "burnt out"


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
