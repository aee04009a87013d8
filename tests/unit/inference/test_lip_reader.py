"""The measuring reader against drawn mouths, whose opening and width are known."""

import numpy as np
import pytest

from inference.drawing.appearance import Appearance
from inference.drawing.avatars import AVATARS
from inference.drawing.eyes import Pose
from inference.drawing.mouth_shape import MouthShape
from inference.drawing.render import Painter, face_box
from inference.training.lip_reader import LipReader, Reading, outline_reading
from inference.training.mouth import TARGETS

Drawn = tuple[Appearance, Painter, LipReader]


@pytest.fixture(scope="module", params=AVATARS, ids=[avatar.id for avatar in AVATARS])
def drawn(request: pytest.FixtureRequest) -> Drawn:
    look: Appearance = request.param.look
    painter = Painter(look, Pose(), face_box(Pose()))
    return look, painter, LipReader.for_face(painter.draw(MouthShape()))


@pytest.mark.parametrize("phoneme", list("ɑæiuɔw"))
def test_opening_and_width_are_those_of_the_outline(drawn: Drawn, phoneme: str) -> None:
    look, painter, reader = drawn
    shape = MouthShape(*TARGETS[phoneme].shape)
    read, true = reader.read(painter.draw(shape)), outline_reading(shape, look)
    assert read.opening == pytest.approx(true.opening, abs=1.6)
    assert read.width == pytest.approx(true.width, abs=max(8.0, 0.15 * true.width))


def test_a_round_mouth_reads_rounder_than_a_spread_one(drawn: Drawn) -> None:
    _, painter, reader = drawn
    spread, rounded = (reader.read(painter.draw(MouthShape(*TARGETS[p].shape))) for p in "iu")
    assert rounded.roundness > 1.6 * spread.roundness
    assert spread.width > rounded.width + 30


@pytest.mark.parametrize("phoneme", list("_mb"))
def test_a_shut_mouth_has_neither_opening_nor_width(drawn: Drawn, phoneme: str) -> None:
    _, painter, reader = drawn
    assert reader.read(painter.draw(MouthShape(*TARGETS[phoneme].shape))) == Reading(0.0, 0.0)


def test_a_picture_without_a_mouth_is_read_as_shut() -> None:
    skin = np.full((256, 256, 3), (220, 170, 140), np.uint8)
    assert LipReader.for_face(skin).read(skin).roundness == 0.0
