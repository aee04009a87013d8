"""Stage ``faces``: a pool of drawn face crops, each with its identity, pose and mouth.

Mouths are taken from the speech's own truth, spread over the space of shapes, so that the pool covers what is spoken.
A pose's upper half and closed reference are drawn once; a mouth changes the lower half alone.
"""

import hashlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.config import HIDDEN_ROW
from inference.drawing.appearance import Appearance, random_appearance
from inference.drawing.avatars import AVATARS, LOOP_FRAMES, loop_pose
from inference.drawing.eyes import Pose
from inference.drawing.mouth_shape import MouthShape
from inference.drawing.render import Painter, Picture, draw_frame, face_box

OTHER_POSES = 2  # of an identity that does not ship
SAMPLE_MOUTH = MouthShape(open=0.4, width=0.3, upper_teeth=0.3, tongue=0.3)


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
            Sitter(avatar.look, loop_pose(frame, avatar.motion), True, spread_mouths(truth, mouths_bundled, rng))
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
        painter = Painter(sitter.look, sitter.pose, face_box(sitter.pose))
        reference, lower_painter = painter.draw(MouthShape()), painter.below(HIDDEN_ROW)
        shapes: list[Picture] = [lower_painter.draw(MouthShape.from_array(mouth)) for mouth in sitter.mouths]
        references.append(reference)
        lower += [reference[HIDDEN_ROW:], *shapes]
        number += [index] * (len(shapes) + 1)
        mouths += [np.zeros(6, dtype=np.float32), *sitter.mouths]
    bundled = np.array([sitter.bundled for sitter in sitters])
    return Faces(np.stack(references), np.stack(lower), np.array(number, np.int32), np.stack(mouths), bundled)


def pool_key(sitters: list[Sitter]) -> str:
    """A name for what is drawn: it changes with the drawing, the identities, their poses or the mouths.

    Pixels are compared, not source files: one picture of each bundled identity and of the first other one.
    """
    digest = hashlib.sha256()
    for sitter in sitters:
        digest.update(repr((sitter.look, sitter.pose)).encode())
        digest.update(sitter.mouths.tobytes())
    first = {sitter.look: sitter for sitter in reversed(sitters) if sitter.bundled}
    for sitter in [*first.values(), *[sitter for sitter in sitters if not sitter.bundled][:1]]:
        digest.update(draw_frame(SAMPLE_MOUTH, sitter.pose, sitter.look).tobytes())
    return digest.hexdigest()[:12]


def make_faces(folder: Path, sitters: list[Sitter], processes: int = 1, shard: int = 5) -> None:
    """Fill ``folder`` with shards of ``shard`` sitters each; what exists stays."""
    starts = range(0, len(sitters), shard)
    jobs = [(folder / f"faces-{start // shard:03d}.npz", sitters[start : start + shard]) for start in starts]
    missing = [job for job in jobs if not job[0].exists()]
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done, future in enumerate(as_completed([pool.submit(_draw_shard, *job) for job in missing]), 1):
            future.result()
            print(f"faces: {len(jobs) - len(missing) + done} of {len(jobs)} shards", flush=True)  # noqa: T201 - progress


def _draw_shard(path: Path, sitters: list[Sitter]) -> None:
    """Draw one shard and write it, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new.npz")
    draw(sitters).save(temporary)
    temporary.replace(path)


def load_faces(folder: Path) -> Faces:
    """All shards as one; raises FileNotFoundError naming the stage to run."""
    paths = sorted(folder.glob("faces-[0-9]*[0-9].npz"))
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
