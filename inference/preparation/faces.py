"""Finding the face of a picture: detectors propose, the face mesh decides and gives the points."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.avatar_bundle import Box, Image
from inference.preparation.face_models import FULL_RANGE, SHORT_RANGE, Detection, Detector, Mesh, Points, overlap

LONGEST_SIDE = 1280  # a larger picture is searched scaled down to this
MIN_SCORE = 0.5  # of a detector, MediaPipe's own limit
# The mesh model's presence in the worst of its passes: 0.99 and more for human and drawn faces; a cat's face reached
# 0.42, coffee, rockets, textures and pages less than 0.1.
MIN_PRESENCE = 0.75
PASSES = 3  # of the mesh, each on a crop placed by the one before; points then move by less than a pixel a pass
CROP_SCALE = 1.5  # the mesh model's square around what it is to look at, as in MediaPipe's graph
MAX_PROPOSALS = 8
TILE_SHARE, TILE_STEP = 0.5, 0.25  # of the sides: where the whole shows no face, its parts may show a small one

LEFT_EYE, RIGHT_EYE = (33, 133), (362, 263)  # mesh points at the corners of the eyes

# The iBUG 68 points as means of mesh points. Bridge and tip (27 to 30) are evenly spaced in iBUG, so 28 and 29 lie
# between mesh points.
_PAIRS: tuple[tuple[int, ...], ...] = (
    *((each,) for each in (127, 234, 93, 132, 172, 136, 149, 148, 152, 377, 378, 365, 397, 361, 323, 454, 356)),  # jaw
    *((each,) for each in (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)),  # brows
    *((168,), (6, 197), (195, 5), (4,)),  # bridge of the nose and its tip
    *((each,) for each in (98, 97, 2, 326, 327)),  # below the nose
    *((each,) for each in (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)),  # eyes
    *((each,) for each in (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181)),  # outer lips
    *((each,) for each in (78, 82, 13, 312, 308, 317, 14, 87)),  # inner lips
)
IBUG_FIRST = np.array([pair[0] for pair in _PAIRS])
IBUG_LAST = np.array([pair[-1] for pair in _PAIRS])


@dataclass(frozen=True, slots=True)
class Face:
    """A face in pixels of its picture."""

    confidence: float  # 0 to 1: the detector's score times the mesh's presence
    detector_box: Box  # clipped to be >= 0
    mesh: Points  # [468, 2]

    def landmarks(self) -> NDArray[np.int32]:
        """The iBUG 68 points, cut to whole pixels as MuseTalk cuts them; [68, 2]."""
        points = (self.mesh[IBUG_FIRST] + self.mesh[IBUG_LAST]) / 2
        return np.asarray(points, np.int32)


class FaceFinder:
    """Finds one face a picture. The same picture gives the same face, bit for bit. One thread at a time."""

    def __init__(self) -> None:
        """Loads the models, 2 MB; raises FaceModelsError where they are not installed."""
        self._detectors = (Detector(FULL_RANGE), Detector(SHORT_RANGE))
        self._mesh = Mesh()

    def find(self, image: Image) -> Face | None:
        """The picture's largest face, or None: first in the whole picture, then in its parts."""
        small, scale = _bounded(image)
        faces = self._confirmed(small, self._proposals(small)) or self._confirmed(small, self._in_parts(small))
        if not faces:
            return None
        return _enlarged(max(faces, key=lambda face: _extent(face.mesh)), scale)

    def mesh_in(self, image: Image, box: Box) -> Points | None:
        """The mesh of the face that a box (as MuseTalk places it) holds; None if it holds none.

        The search begins in the box and nowhere else, so that of several faces the box's own is found.
        """
        x1, y1, x2, y2 = box
        part, (left, top) = _around(image, box)
        small, scale = _bounded(part)
        centre = np.array([(x1 + x2) / 2 - left, (y1 + y2) / 2 - top], np.float32) * np.float32(scale)
        points, presence = self._refined(small, centre, max(x2 - x1, y2 - y1) * CROP_SCALE * scale, 0.0)
        if presence < MIN_PRESENCE:
            return None
        return points / np.float32(scale) + np.array([left, top], np.float32)

    def _proposals(self, image: Image) -> list[Detection]:
        """What either detector takes for a face, best first."""
        found: list[Detection] = []
        for detector in self._detectors:
            found += detector.detect(image, MIN_SCORE)
        return sorted(found, key=lambda each: -each.score)[:MAX_PROPOSALS]

    def _in_parts(self, image: Image) -> list[Detection]:
        """The same for overlapping parts of the picture, in which a small face is large enough to be seen."""
        height, width = image.shape[:2]
        found = []
        steps = np.arange(0.0, 1.0 - TILE_SHARE + TILE_STEP / 2, TILE_STEP)
        for top, left in ((int(y * height), int(x * width)) for y in steps for x in steps):
            part = image[top : top + max(1, int(TILE_SHARE * height)), left : left + max(1, int(TILE_SHARE * width))]
            found += [each.moved(left, top, 1.0) for each in self._detectors[0].detect(part, MIN_SCORE)]
        return sorted(found, key=lambda each: -each.score)[:MAX_PROPOSALS]

    def _confirmed(self, image: Image, proposals: list[Detection]) -> list[Face]:
        """The proposals in which the mesh model sees a face, each face once."""
        seen: list[Detection] = []
        faces = []
        for proposal in proposals:
            if any(overlap(proposal.box, other.box) > 0.5 for other in seen):
                continue
            x1, y1, x2, y2 = proposal.box
            across = proposal.eyes[1] - proposal.eyes[0]
            centre = np.array([(x1 + x2) / 2, (y1 + y2) / 2], np.float32)
            side = max(x2 - x1, y2 - y1) * CROP_SCALE
            points, presence = self._refined(image, centre, side, math.atan2(across[1], across[0]))
            if presence >= MIN_PRESENCE:
                seen.append(proposal)
                box = (max(0, int(x1)), max(0, int(y1)), max(0, int(x2)), max(0, int(y2)))
                faces.append(Face(proposal.score * presence, box, points))
        return faces

    def _refined(self, image: Image, centre: Points, side: float, angle: float) -> tuple[Points, float]:
        """Points and the lowest presence of ``PASSES`` passes, each on a crop upright by the eyes found before."""
        presences = []
        for _ in range(PASSES):
            points, presence = self._mesh.fit(image, centre, side, angle)
            presences.append(presence)
            centre, side, angle = _placed(points)
        return points, min(presences)


def _placed(mesh: Points) -> tuple[Points, float, float]:
    """Centre, side and angle of the square in which the mesh model should see these points."""
    across = mesh[list(RIGHT_EYE)].mean(axis=0) - mesh[list(LEFT_EYE)].mean(axis=0)
    angle = math.atan2(across[1], across[0])
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], np.float32)
    upright = mesh @ turn.T  # [468, 2], the eyes on one row
    low, high = upright.min(axis=0), upright.max(axis=0)
    centre: Points = (low + high) / 2 @ turn
    return centre, max(1.0, float((high - low).max())) * CROP_SCALE, angle


def _bounded(image: Image) -> tuple[Image, float]:
    """The picture with its longer side at most LONGEST_SIDE, and the factor."""
    height, width = image.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    if scale == 1.0:
        return image, scale
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _around(image: Image, box: Box) -> tuple[Image, tuple[int, int]]:
    """The part of a picture that holds a box and as much again on each side, and where its corner lies."""
    x1, y1, x2, y2 = box
    margin = max(x2 - x1, y2 - y1)
    left, top = max(0, x1 - margin), max(0, y1 - margin)
    return image[top : y2 + margin, left : x2 + margin], (left, top)


def _enlarged(face: Face, scale: float) -> Face:
    x1, y1, x2, y2 = (int(value / scale) for value in face.detector_box)
    return Face(face.confidence, (x1, y1, x2, y2), face.mesh / np.float32(scale))


def _extent(mesh: Points) -> float:
    """Area of the points' bounding box."""
    return float(np.prod(mesh.max(axis=0) - mesh.min(axis=0)))
