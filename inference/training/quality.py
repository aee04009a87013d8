"""Figures of how well rendered lips follow speech, read from pixels by geometry; see ``agreement`` for the mathematics.

Openings and widths are compared with those of the drawn truth, which follows from the durations of the phonemes alone.
Pictures are compared with drawings of that truth in the same pose.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from inference.avatar_bundle import AvatarBundle
from inference.config import FPS, FRAME_SAMPLES, HIDDEN_ROW
from inference.drawing.appearance import Appearance
from inference.drawing.avatars import DrawnAvatar, loop_pose
from inference.drawing.mouth_shape import MouthShape
from inference.drawing.render import Painter, face_box
from inference.engine import Engine
from inference.training.agreement import Picture, Series, best_lag, closed_share, correlation, psnr, smooth, ssim
from inference.training.lip_reader import LUMA, LipReader, Reading, outline_reading
from inference.training.losses import MOUTH_COLUMNS, MOUTH_ROWS
from inference.training.rendering import Measured
from inference.training.speech import Segment
from inference.training.voice import SILENCE

POSES_EVERY = 7  # source frames of the loop whose pictures are compared: drawing a pose takes a second to set up
LOUDNESS_FLOOR = 1e-3  # -60 dB: silence is silence
OPEN_PIXELS = 10.0  # of the true opening, for widths to be compared: slits read too narrow, even in drawings
LONG_SILENCE_S = 0.16  # the mouth truth shuts for silences longer than this,
SHUTTING_S = 0.10  # and this far inside of them it is shut and stays so
CLOSURES = "pbm"
SHUFFLED_SEGMENTS = 6  # each of their frames is a request of its own
NEAR_FRAMES = 1  # a closure may be seen one frame before or after its middle


@dataclass(frozen=True, slots=True)
class Lips:
    """Agreement of a track of mouths with the truth."""

    r_opening: float
    lag_frames: int  # with the highest r; positive: the lips come after the truth
    r_width: float
    r_roundness: float
    closed_on_pbm: float  # share of these sounds
    closed_in_silence: float  # share of frames


@dataclass(frozen=True, slots=True)
class Likeness:
    """Agreement of pictures with the drawn truth."""

    ssim_mouth: float
    psnr_mouth_db: float
    psnr_lower_half_db: float


@dataclass(frozen=True, slots=True)
class Quality:
    """One avatar with one voice."""

    frames: int
    lips: Lips
    likeness: Likeness
    r_loudness: float  # of the opening with the voice's loudness, which the model never gets as a number
    truth_r_loudness: float
    shuffled_r_loudness: float  # with the windows of other frames
    shuffled_r_opening: float
    shuffled_closed_on_pbm: float


@dataclass(frozen=True, slots=True)
class Take:
    """Segments as they were rendered, and some lower halves beside how they should have been."""

    segments: list[Segment]
    rendered: list[NDArray[np.uint8]]  # face crops [frames, 256, 256, 3]
    pairs: list[tuple[Picture, Picture]]  # [128, 256, 3] each


def measure(engine: Engine, bundle: AvatarBundle, avatar: DrawnAvatar, segments: list[Segment]) -> tuple[Quality, Take]:
    """Render, read and compare."""
    reader = LipReader.for_face(closed_crop(bundle))
    measured, rng = Measured(engine, bundle), np.random.default_rng(12)
    rendered = [measured.render(segment) for segment in segments]
    take = Take(segments, rendered, drawn_pairs(segments, rendered, avatar, bundle))
    few = segments[:SHUFFLED_SEGMENTS]
    lost = [_openings([reader.read(crop) for crop in measured.render(segment, rng)]) for segment in few]
    seen = [[reader.read(crop) for crop in crops] for crops in take.rendered]
    truth = [outlines(segment.truth, avatar.look) for segment in segments]
    openings, true_openings = [_openings(r) for r in seen], [_openings(r) for r in truth]
    levels = [loudness(segment) for segment in segments]
    return Quality(
        frames=sum(len(crops) for crops in take.rendered),
        lips=compare_lips(segments, seen, truth),
        likeness=compare_pictures(take.pairs),
        r_loudness=correlation([smooth(o) for o in openings], levels),
        truth_r_loudness=correlation([smooth(o) for o in true_openings], levels),
        shuffled_r_loudness=correlation([smooth(o) for o in lost], levels[: len(lost)]),
        shuffled_r_opening=correlation(lost, true_openings[: len(lost)]),
        shuffled_closed_on_pbm=closed_share(lost, [closures(segment) for segment in few]),
    ), take


def closed_crop(bundle: AvatarBundle) -> Picture:
    """The face of an avatar's first frame, whose mouth is shut."""
    x1, y1, x2, y2 = bundle.info.boxes[0]
    return bundle.image(0)[y1:y2, x1:x2]


def outlines(mouths: NDArray[np.float32], look: Appearance) -> list[Reading]:
    """What a perfect reader would see of mouths [frames, 6] on this face."""
    return [outline_reading(MouthShape.from_array(mouth), look) for mouth in mouths]


def compare_lips(segments: list[Segment], seen: list[list[Reading]], truth: list[list[Reading]]) -> Lips:
    """Readings of every frame of every segment against those of the truth."""
    openings, true_openings = [_openings(r) for r in seen], [_openings(r) for r in truth]
    open_pairs = [
        (a, b) for one, other in zip(seen, truth, strict=True) for a, b in zip(one, other, strict=True)
        if b.opening >= OPEN_PIXELS and a.width
    ]  # fmt: skip

    def r_of(values: list[tuple[float, float]]) -> float:
        first, second = np.array(values).reshape(-1, 2).T
        return correlation([first], [second]) if len(first) > 1 else 0.0

    return Lips(
        r_opening=correlation(openings, true_openings),
        lag_frames=best_lag(openings, true_openings)[0],
        r_width=r_of([(a.width, b.width) for a, b in open_pairs]),
        r_roundness=r_of([(a.roundness, b.roundness) for a, b in open_pairs]),
        closed_on_pbm=closed_share(openings, [closures(segment) for segment in segments]),
        closed_in_silence=closed_share(openings, [silent_frames(segment) for segment in segments]),
    )


def closures(segment: Segment) -> list[range]:
    """For each p, b and m the frames around its middle in which the lips must meet."""
    last = len(segment.truth)
    middles = [int((p.start + p.end) / 2 * FPS) for p in segment.phonemes if p.symbol in CLOSURES]
    return [range(max(0, m - NEAR_FRAMES), min(last, m + NEAR_FRAMES + 1)) for m in middles if m < last]


def silent_frames(segment: Segment) -> list[range]:
    """Each frame well inside of a silence, as a range of its own.

    The mouth weight is 1 throughout, so this is the model alone; the service's silence gate comes on top of it.
    """
    centres = (np.arange(len(segment.truth)) + 0.5) / FPS
    silent = np.zeros(len(centres), dtype=bool)
    for number, phoneme in enumerate(segment.phonemes):
        is_last = number == len(segment.phonemes) - 1
        end = len(silent) / FPS if is_last else phoneme.end
        if phoneme.symbol == SILENCE and end - phoneme.start > LONG_SILENCE_S:
            first = phoneme.start if number == 0 else phoneme.start + SHUTTING_S
            silent |= (centres >= first) & (centres <= (end if is_last else end - SHUTTING_S))
    return [range(int(frame), int(frame) + 1) for frame in np.flatnonzero(silent)]


def loudness(segment: Segment) -> Series:
    """dB of each frame of audio, smoothed over 120 ms, [frames]."""
    chunks = segment.samples.astype(np.float64).reshape(-1, FRAME_SAMPLES) / 32768
    return smooth(20 * np.log10(np.maximum(np.sqrt((chunks**2).mean(axis=1)), LOUDNESS_FLOOR)))


def drawn_pairs(
    segments: list[Segment], rendered: list[NDArray[np.uint8]], avatar: DrawnAvatar, bundle: AvatarBundle
) -> list[tuple[Picture, Picture]]:
    """Lower halves [128, 256, 3] of the frames in every seventh pose, as rendered and as drawn from the truth."""
    shown: dict[int, list[tuple[NDArray[np.float32], Picture]]] = {}  # mouths and crops of a source frame
    for segment, crops in zip(segments, rendered, strict=True):
        for frame, crop in enumerate(crops):
            if (source := bundle.info.frame_at(frame)) % POSES_EVERY == 0:
                shown.setdefault(source, []).append((segment.truth[frame], crop))
    pairs = []
    for source, mouths in shown.items():  # a painter is slow to set up and serves all mouths of its pose
        pose = loop_pose(source, avatar.motion)
        painter = Painter(avatar.look, pose, face_box(pose)).below(HIDDEN_ROW)
        pairs += [(crop[HIDDEN_ROW:], painter.draw(MouthShape.from_array(mouth))) for mouth, crop in mouths]
    return pairs


def compare_pictures(pairs: list[tuple[Picture, Picture]]) -> Likeness:
    """Lower halves against their truth."""
    rows = slice(MOUTH_ROWS[0] - HIDDEN_ROW, MOUTH_ROWS[1] - HIDDEN_ROW)
    mouths = [tuple(picture[rows, slice(*MOUTH_COLUMNS)] for picture in pair) for pair in pairs]
    grey = [tuple((picture @ LUMA).astype(np.float64) for picture in pair) for pair in mouths]
    return Likeness(float(np.mean([ssim(a, b) for a, b in grey])), psnr([(a, b) for a, b in mouths]), psnr(pairs))


@torch.inference_mode()
def autoencoder_bound(vae: torch.nn.Module, pairs: list[tuple[Picture, Picture]], bundle: AvatarBundle) -> Likeness:
    """The likeness of the truth itself after encoding and decoding: no U-Net can do better with this autoencoder."""
    upper = closed_crop(bundle)[:HIDDEN_ROW]
    again = []
    for _, truth in pairs:
        crop = torch.from_numpy(np.concatenate([upper, truth])).permute(2, 0, 1)[None].float().div(127.5).sub(1.0)
        decoded = vae.get_submodule("decoder")(vae.get_submodule("encoder")(crop))[0, :, HIDDEN_ROW:]
        pixels = decoded.clamp(-1, 1).add(1).mul(127.5).round().byte().permute(1, 2, 0).numpy()
        again.append((pixels, truth))
    return compare_pictures(again)


def _openings(readings: list[Reading]) -> Series:
    return np.array([reading.opening for reading in readings])
