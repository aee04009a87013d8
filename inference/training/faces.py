"""Stage ``faces``: a pool of drawn face crops, each with its identity, pose and mouth.

Mouths are taken from the speech's own truth, spread over the space of shapes, so that the pool covers what is spoken.
A pose's upper half and closed reference are drawn once; a mouth changes the lower half alone.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.config import HIDDEN_ROW
from inference.drawing.appearance import Appearance, random_appearance
from inference.drawing.avatars import AVATARS, LOOP_FRAMES, loop_pose
from inference.drawing.eyes import Pose
from inference.drawing.mouth_shape import MouthShape
from inference.drawing.render import Box, Painter, Picture, face_box

OTHER_POSES = 2  # of an identity that does not ship


@dataclass(frozen=True, slots=True)
class Sitter:
    """One identity in one pose, with the mouths to draw."""

    look: Appearance
    pose: Pose
    bundled: bool
    mouths: NDArray[np.float32]  # [n, 6]


@dataclass(frozen=True, slots=True)
class Faces:
    """References [P, 256, 256, 3], lower halves [N, 128, 256, 3], and for each of these its pose's number and mouth."""

    references: NDArray[np.uint8]
    lower: NDArray[np.uint8]
    sitter: NDArray[np.int32]  # [N] row of ``references``
    mouth: NDArray[np.float32]  # [N, 6]
    bundled: NDArray[np.bool_]  # [P]

    def crops(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Whole crops [B, 256, 256, 3]."""
        upper = self.references[self.sitter[rows], :HIDDEN_ROW]
        return np.concatenate([upper, self.lower[rows]], axis=1)

    def save(self, path: Path) -> None:
        """Write an npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            references=self.references,
            lower=self.lower,
            sitter=self.sitter,
            mouth=self.mouth,
            bundled=self.bundled,
        )

    @staticmethod
    def load(path: Path) -> "Faces":
        """Read what ``save`` wrote."""
        with np.load(path) as data:
            return Faces(*(data[name] for name in ("references", "lower", "sitter", "mouth", "bundled")))


def spread_mouths(truth: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """``count`` mouths out of the truth, rare shapes as likely as frequent ones: one from each of many random cells."""
    cells = np.round(truth * np.array([10, 4, 4, 4, 3, 3])).astype(np.int64)
    _, cell = np.unique(cells, axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    weight = 1.0 / np.bincount(cell)[cell] ** 0.7
    chosen: NDArray[np.float32] = truth[rng.choice(len(truth), count, p=weight / weight.sum())]
    return chosen


def plan(truth: NDArray[np.float32], seed: int, identities: int, mouths_each: int, mouths_bundled: int) -> list[Sitter]:
    """Who is drawn how often: every pose of each bundled loop, and ``identities`` random ones."""
    rng = np.random.default_rng([seed, 11])
    sitters = []
    for avatar in AVATARS:
        sitters += [
            Sitter(avatar.look, loop_pose(frame), True, spread_mouths(truth, mouths_bundled, rng))
            for frame in range(LOOP_FRAMES)
        ]
    for _ in range(identities):
        look = random_appearance(rng)
        for _ in range(OTHER_POSES):
            pose = Pose(dx=float(rng.uniform(-2, 2)), dy=float(rng.uniform(-1, 1)), blink=float(rng.random() < 0.1))
            sitters.append(Sitter(look, pose, False, spread_mouths(truth, mouths_each // OTHER_POSES, rng)))
    return sitters


def draw(sitters: list[Sitter]) -> Faces:
    """Draw them all."""
    references, lower, number, mouths = [], [], [], []
    for index, sitter in enumerate(sitters):
        box = face_box(sitter.pose)
        reference = Painter(sitter.look, sitter.pose, box).draw(MouthShape())
        painter = Painter(sitter.look, sitter.pose, _lower_half(box))
        shapes: list[Picture] = [painter.draw(MouthShape.from_array(mouth)) for mouth in sitter.mouths]
        references.append(reference)
        lower += [reference[HIDDEN_ROW:], *shapes]
        number += [index] * (len(shapes) + 1)
        mouths += [np.zeros(6, dtype=np.float32), *sitter.mouths]
    bundled = np.array([sitter.bundled for sitter in sitters])
    return Faces(np.stack(references), np.stack(lower), np.array(number, np.int32), np.stack(mouths), bundled)


def make_faces(folder: Path, sitters: list[Sitter], shard: int = 10) -> None:
    """Fill ``folder`` with shards of ``shard`` sitters each; what exists stays."""
    for start in range(0, len(sitters), shard):
        path = folder / f"faces-{start // shard:03d}.npz"
        if not path.exists():
            draw(sitters[start : start + shard]).save(path)
            print(f"faces {min(start + shard, len(sitters))} of {len(sitters)}", flush=True)  # noqa: T201 - progress


def load_faces(folder: Path) -> Faces:
    """All shards as one; raises FileNotFoundError naming the stage to run."""
    paths = sorted(folder.glob("faces-*.npz"))
    if not paths:
        raise FileNotFoundError(f"{folder}: no faces; run the stage faces first")
    parts = [Faces.load(path) for path in paths]
    offsets = np.cumsum([0, *(len(part.references) for part in parts[:-1])])
    return Faces(
        np.concatenate([part.references for part in parts]),
        np.concatenate([part.lower for part in parts]),
        np.concatenate([part.sitter + offset for part, offset in zip(parts, offsets, strict=True)]).astype(np.int32),
        np.concatenate([part.mouth for part in parts]),
        np.concatenate([part.bundled for part in parts]),
    )


def _lower_half(box: Box) -> Box:
    x1, y1, x2, y2 = box
    return x1, y1 + HIDDEN_ROW, x2, y2
