"""Where the face is in each frame of an avatar: gaps filled, boxes smoothed and bounded, other frames left out.

All of it is arithmetic on lists with one entry a frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from avatar_service.engines.base import Box, FoundFace
from avatar_service.errors import InvalidArgument

SMALLEST_FACE = 32
"""Pixels a side; the contract's least, and less would be a few pixels of mouth."""
LONGEST_GAP_S = 0.5
"""A face that is not found for so long has hardly moved, as while a hand passes; after longer it may be anywhere."""
SMOOTHING_S = 0.08
"""Deviation of the smoothing window: it takes the finder's jitter of a few frames and leaves a nod."""


@dataclass(frozen=True, slots=True)
class Track:
    """The face over a source: the frames that are kept, ascending, and a box for each."""

    source_frames: int
    kept: tuple[int, ...]
    boxes: tuple[Box, ...]
    interpolated: int = 0
    """How many of the boxes were interpolated."""

    @property
    def dropped(self) -> int:
        """How many frames are left out."""
        return self.source_frames - len(self.kept)


def given_track(boxes: Sequence[Box], frames: int) -> Track:
    """The caller's boxes, one for all frames or one a frame. Raises InvalidArgument for another number of them."""
    if len(boxes) not in (1, frames):
        raise InvalidArgument(
            "config.face_boxes", f"has {len(boxes)} boxes, and the source {frames} frames; give 1 or {frames}"
        )
    return Track(frames, tuple(range(frames)), tuple(boxes) * (frames if len(boxes) == 1 else 1))


def found_track(faces: Sequence[FoundFace | None], fps: Fraction) -> Track:
    """The found faces, with gaps of up to LONGEST_GAP_S interpolated and all other frames without a face left out.

    Raises InvalidArgument where no frame has a face.
    """
    found = [index for index, face in enumerate(faces) if face and _is_large(face.box)]
    if not found:
        frames = "the picture" if len(faces) == 1 else f"any of its {len(faces)} frames"
        raise InvalidArgument(
            "data",
            f"no face of at least {SMALLEST_FACE} pixels was found in {frames}; give a source that shows a face from "
            "the front, or say where it is in config.face_boxes",
            reason="FACE_NOT_FOUND",
        )
    boxes = {index: face.box for index in found if (face := faces[index])}
    gap = int(LONGEST_GAP_S * fps)
    between = 0
    for before, after in pairwise(found):
        if 0 < (missing := after - before - 1) <= gap:
            between += missing
            boxes |= {
                i: _between(boxes[before], boxes[after], (i - before) / (after - before))
                for i in _inside(before, after)
            }
    kept = tuple(sorted(boxes))
    return Track(len(faces), kept, tuple(boxes[index] for index in kept), between)


def smoothed(track: Track, fps: Fraction) -> Track:
    """The track with each edge averaged over its neighbours in time, within stretches without a missing frame."""
    deviation = SMOOTHING_S * float(fps)
    reach = int(3 * deviation)
    if reach == 0 or len(track.boxes) < 2:
        return track
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)  # [2 reach + 1]
    indices = np.array(track.kept)
    stretches = np.split(np.array(track.boxes, np.float64), np.flatnonzero(np.diff(indices) > 1) + 1)  # each [n, 4]
    edges = np.concatenate([_averaged(stretch, weights) for stretch in stretches])
    return replace(track, boxes=tuple(map(_box, np.rint(edges).astype(int).tolist())))


def scaled(boxes: Sequence[Box], factor: float) -> tuple[Box, ...]:
    """Boxes in a picture that was scaled by `factor`."""
    return tuple(_box([round(edge * factor) for edge in box]) for box in boxes)


def bounded(track: Track, width: int, height: int) -> Track:
    """The track with every box cut to the frame. Raises InvalidArgument for one of which too little is left."""
    boxes = tuple((max(0, x1), max(0, y1), min(width, x2), min(height, y2)) for x1, y1, x2, y2 in track.boxes)
    for index, box in zip(track.kept, boxes, strict=True):
        if not _is_large(box):
            raise InvalidArgument(
                "config.face_boxes",
                f"box of frame {index} has less than {SMALLEST_FACE} pixels a side within the avatar's frames of "
                f"{width} by {height}",
            )
    return replace(track, boxes=boxes)


def _averaged(edges: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted averages over the neighbours that there are; edges [n, 4]."""
    count = np.convolve(np.ones(len(edges)), weights, "full")  # [n + 2 reach]
    reach = len(weights) // 2
    sums = np.stack([np.convolve(edges[:, side], weights, "full") for side in range(4)], axis=1)
    averages: NDArray[np.float64] = (sums / count[:, None])[reach : reach + len(edges)]
    return averages


def _is_large(box: Box) -> bool:
    return box[2] - box[0] >= SMALLEST_FACE and box[3] - box[1] >= SMALLEST_FACE


def _inside(before: int, after: int) -> range:
    return range(before + 1, after)


def _between(one: Box, other: Box, share: float) -> Box:
    return _box([round(a + (b - a) * share) for a, b in zip(one, other, strict=True)])


def _box(edges: list[int]) -> Box:
    x1, y1, x2, y2 = edges
    return x1, y1, x2, y2
