"""How well does ``nano`` follow speech? ``python -m inference.training.measure``.

Held-out sentences go through the engine with the shipped weights and bundle, cut into requests as the service cuts
them. A geometric reader measures the lips in the pixels. Printed: the correlation of the opening with the speech's
loudness (which the model never sees as a number) and its best lag, the same for the drawn truth, the same with the
audio windows shuffled in time, the correlation with the true opening, and the PSNR against the drawn frames. A picture
with frames of several phonemes is written too.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from inference.avatar_bundle import AvatarBundle
from inference.avatar_store import AVATARS_DIR
from inference.config import FPS, FRAME_SAMPLES, HIDDEN_ROW, SPAN_LEFT_SAMPLES, START_MEL_MAX
from inference.drawing.appearance import random_appearance
from inference.drawing.avatars import AVATARS, DrawnAvatar, loop_pose
from inference.drawing.mouth_shape import MAX_GAP, MouthShape
from inference.drawing.render import FRAME_SIZE, Painter, draw_crop, draw_frame, face_box
from inference.engine import Engine, EngineSettings
from inference.requests import RenderError, RenderRequest
from inference.training.export import export_avatar
from inference.training.lip_reader import LipReader
from inference.training.sentences import split
from inference.training.speech import FIRST_REQUEST_FRAMES, Segment, finish_segment, request_sizes, span_of
from inference.training.voice import SILENCE, Voice, change_pitch
from inference.weights import NANO_DIR, VAE_FILE, Model, file_sha256

SMOOTHING_FRAMES = 3  # 120 ms
LOUDNESS_FLOOR = 1e-3  # -60 dB: silence is silence
LAGS = range(-5, 6)  # frames; positive: the lips come after the sound
PSNR_EVERY = 9  # drawing the truth is slow
SHEET = {"aa": "ɑæ", "ee": "i", "oo": "uw", "mm": "mbp", "ff": "fv", "silence": SILENCE}


@dataclass(frozen=True, slots=True)
class Figures:
    """What is measured; lags in frames, openings read from pixels."""

    frames: int
    r_loudness: float
    best_lag: int
    r_loudness_at_best_lag: float
    truth_r_loudness: float
    truth_best_lag: int
    truth_r_loudness_at_best_lag: float
    shuffled_r_loudness: float
    r_true_opening: float
    r_true_opening_best_lag: int
    mean_opening_in_silence: float
    mean_opening_in_closures: float
    psnr_mouth_db: float


class Measured:
    """Held-out segments rendered by the engine."""

    def __init__(self, engine: Engine, bundle: AvatarBundle) -> None:
        self._engine, self._bundle = engine, bundle

    def render(self, segment: Segment, shuffle: np.random.Generator | None = None) -> NDArray[np.uint8]:
        """Face crops [frames, 256, 256, 3] of a turn; with ``shuffle`` each frame gets the audio of another one."""
        crops, mel_max, frame = [], START_MEL_MAX, 0
        order = np.arange(len(segment.truth)) if shuffle is None else shuffle.permutation(len(segment.truth))
        for size in request_sizes(len(segment.truth), FIRST_REQUEST_FRAMES):
            if shuffle is None:
                frames, mel_max = self._request(segment, frame, tuple(range(frame, frame + size)), mel_max)
                crops += self._crops(frames, frame)
            else:
                for shown in range(frame, frame + size):
                    frames, _ = self._request(segment, int(order[shown]), (shown,), mel_max)
                    crops += self._crops(frames, shown)
            frame += size
        return np.stack(crops)

    def still(self, segment: Segment, number: int) -> NDArray[np.uint8]:
        """The whole picture [512, 512, 3] of a turn's frame, on the loop's first frame: eyes open."""
        mel_max, first = START_MEL_MAX, 0
        for size in request_sizes(len(segment.truth), FIRST_REQUEST_FRAMES):
            frames, mel_max = self._request(segment, first, (0,) * size, mel_max)
            if first <= number < first + size:
                return frames[number - first]
            first += size
        raise ValueError(f"frame {number} of a segment of {len(segment.truth)} frames")

    def _request(
        self, segment: Segment, heard: int, shown: tuple[int, ...], mel_max: float
    ) -> tuple[list[NDArray[np.uint8]], float]:
        """Frames from audio frame ``heard`` on, pasted into the loop's frames ``shown``."""
        size = len(shown)
        request = RenderRequest(
            avatar=self._bundle.reference,
            audio=span_of(segment.samples, heard, size),
            audio_start=heard * FRAME_SAMPLES - SPAN_LEFT_SAMPLES,
            frame_index=shown,
            frame_start=tuple(SPAN_LEFT_SAMPLES + FRAME_SAMPLES * i for i in range(size)),
            mouth_weight=(1.0,) * size,
            mel_max=mel_max,
            format="raw",
        )
        (result,) = self._engine.render([request])
        if isinstance(result, RenderError):
            raise RuntimeError(f"the engine refused a request: {result.message}")
        frames = [np.frombuffer(data, np.uint8).reshape(FRAME_SIZE, FRAME_SIZE, 3) for data in result.frames]
        return frames, result.mel_max

    def _crops(self, frames: list[NDArray[np.uint8]], shown: int) -> list[NDArray[np.uint8]]:
        """The face boxes of frames that are shown from position ``shown`` of the loop on."""
        crops = []
        for index, frame in enumerate(frames):
            x1, y1, x2, y2 = self._bundle.info.boxes[self._bundle.info.frame_at(shown + index)]
            crops.append(frame[y1:y2, x1:x2])
        return crops


def loudness(segment: Segment) -> NDArray[np.float64]:
    """dB of each frame of audio, smoothed over 120 ms, [frames]."""
    chunks = segment.samples.astype(np.float64).reshape(-1, FRAME_SAMPLES) / 32768
    decibels = 20 * np.log10(np.maximum(np.sqrt((chunks**2).mean(axis=1)), LOUDNESS_FLOOR))
    padded = np.pad(decibels, SMOOTHING_FRAMES // 2, mode="edge")
    return np.convolve(padded, np.ones(SMOOTHING_FRAMES) / SMOOTHING_FRAMES, mode="valid")


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same smoothing for an opening."""
    padded = np.pad(values.astype(np.float64), SMOOTHING_FRAMES // 2, mode="edge")
    return np.convolve(padded, np.ones(SMOOTHING_FRAMES) / SMOOTHING_FRAMES, mode="valid")


def correlation(first: list[NDArray[np.float64]], second: list[NDArray[np.float64]], lag: int = 0) -> float:
    """Pearson r over all segments, the first series taken ``lag`` frames later."""
    pairs = [
        (a[max(0, lag) : len(a) + min(0, lag)], b[max(0, -lag) : len(b) - max(0, lag)])
        for a, b in zip(first, second, strict=True)
    ]
    joined = [np.concatenate(side) for side in zip(*pairs, strict=True)]
    if min(side.std() for side in joined) < 1e-9:
        return 0.0
    return float(np.corrcoef(joined[0], joined[1])[0, 1])


def best_lag(first: list[NDArray[np.float64]], second: list[NDArray[np.float64]]) -> tuple[int, float]:
    """The lag with the highest correlation, and that correlation."""
    lag = max(LAGS, key=lambda shift: correlation(first, second, shift))
    return lag, correlation(first, second, lag)


def unseen_avatar(seed: int, model_dir: Path, avatars: Path) -> DrawnAvatar:
    """A drawn identity that training never saw, as a bundle of one frame under ``avatars``."""
    avatar = DrawnAvatar(f"unseen-{seed}", f"Unseen {seed}", random_appearance(np.random.default_rng([seed, 99])))
    frames = draw_frame(MouthShape(), loop_pose(0, avatar.motion), avatar.look)[None]
    vae = Model.load(model_dir, torch.device("cpu")).vae
    export_avatar(avatar, frames, file_sha256(model_dir / VAE_FILE), avatars / avatar.id, vae)
    return avatar


def measure(model_dir: Path, avatars: Path, avatar: DrawnAvatar, sentences: int, sheet: Path, pitch: float) -> Figures:
    """Render, read and compare; writes the picture."""
    engine = Engine.load(model_dir, (avatars,), EngineSettings(device="cpu", threads=torch.get_num_threads()))
    bundle = AvatarBundle.load(avatars / avatar.id)
    reader = LipReader.for_face(draw_crop(MouthShape(), loop_pose(0, avatar.motion), avatar.look))
    voice, rng = Voice(), np.random.default_rng(12)
    texts = split(31, sentences, held_out=True)
    segments = [finish_segment(change_pitch(voice.speak(text), pitch), rng, augment=False) for text in texts]
    measured = Measured(engine, bundle)
    rendered = [measured.render(segment) for segment in segments]
    shuffled = [measured.render(segment, rng) for segment in segments[: max(4, sentences // 4)]]
    openings = [np.array([reader.opening(crop) for crop in crops]) for crops in rendered]
    lost = [np.array([reader.opening(crop) for crop in crops]) for crops in shuffled]
    truths = [segment.truth[:, 0].astype(np.float64) * MAX_GAP for segment in segments]
    levels = [loudness(segment) for segment in segments]
    smoothed, smooth_truth = [smooth(o) for o in openings], [smooth(t) for t in truths]
    lag, r_lag = best_lag(smoothed, levels)
    truth_lag, truth_r_lag = best_lag(smooth_truth, levels)
    write_sheet(sheet, segments, rendered)
    return Figures(
        frames=sum(len(o) for o in openings),
        r_loudness=correlation(smoothed, levels),
        best_lag=lag,
        r_loudness_at_best_lag=r_lag,
        truth_r_loudness=correlation(smooth_truth, levels),
        truth_best_lag=truth_lag,
        truth_r_loudness_at_best_lag=truth_r_lag,
        shuffled_r_loudness=correlation([smooth(o) for o in lost], levels[: len(lost)]),
        r_true_opening=correlation(openings, truths),
        r_true_opening_best_lag=best_lag(openings, truths)[0],
        mean_opening_in_silence=_mean_where(openings, segments, SILENCE),
        mean_opening_in_closures=_mean_where(openings, segments, "pbm"),
        psnr_mouth_db=_psnr(segments, rendered, avatar, bundle),
    )


def _middles(segment: Segment, symbols: str) -> list[int]:
    """The frames in the middle of these phonemes; of silence only the long ones."""
    last = len(segment.truth) - 1
    return [
        min(int((phoneme.start + phoneme.end) / 2 * FPS), last)
        for phoneme in segment.phonemes
        if phoneme.symbol in symbols and (phoneme.symbol != SILENCE or phoneme.end - phoneme.start > 0.2)
    ]


def _mean_where(openings: list[NDArray[np.float64]], segments: list[Segment], symbols: str) -> float:
    values = [o[frame] for o, segment in zip(openings, segments, strict=True) for frame in _middles(segment, symbols)]
    return float(np.mean(values)) if values else 0.0


def _psnr(
    segments: list[Segment], rendered: list[NDArray[np.uint8]], avatar: DrawnAvatar, bundle: AvatarBundle
) -> float:
    """dB of the lower half of the crop against the drawn truth, over every ninth frame."""
    shown: dict[int, list[tuple[NDArray[np.float32], NDArray[np.uint8]]]] = {}  # mouths and crops of a source frame
    for segment, crops in zip(segments, rendered, strict=True):
        for frame in range(0, len(crops), PSNR_EVERY):
            shown.setdefault(bundle.info.frame_at(frame), []).append((segment.truth[frame], crops[frame]))
    errors = []
    for source, pairs in shown.items():  # a painter is slow to set up and serves all mouths of its pose
        pose = loop_pose(source, avatar.motion)
        painter = Painter(avatar.look, pose, face_box(pose)).below(HIDDEN_ROW)
        for mouth, crop in pairs:
            difference = crop[HIDDEN_ROW:].astype(np.float64) - painter.draw(MouthShape.from_array(mouth))
            errors.append(float((difference**2).mean()))
    return float(10 * np.log10(255**2 / np.mean(errors)))


def write_sheet(path: Path, segments: list[Segment], rendered: list[NDArray[np.uint8]], columns: int = 6) -> None:
    """One row a phoneme group: rendered face crops at the middle of that sound."""
    rows = []
    for symbols in SHEET.values():
        found = [
            crops[f] for segment, crops in zip(segments, rendered, strict=True) for f in _middles(segment, symbols)
        ]
        blank = np.zeros((256, 256, 3), np.uint8)
        picked = [found[i * max(1, len(found) // columns)] if i < len(found) else blank for i in range(columns)]
        rows.append(np.concatenate(picked, axis=1))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows, axis=0)).save(path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.training.measure",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", type=Path, default=NANO_DIR, help="weights folder (default: %(default)s)")
    parser.add_argument("--avatars", type=Path, default=AVATARS_DIR, help="folder of bundles (default: %(default)s)")
    parser.add_argument("--avatar", choices=[avatar.id for avatar in AVATARS], help="this one alone (default: each)")
    parser.add_argument("--unseen", type=int, metavar="SEED", help="an identity that training never saw, instead")
    parser.add_argument("--pitch", type=float, default=1.0, help="play the voice higher (default: %(default)s)")
    parser.add_argument("--sentences", type=int, default=24, help="held-out sentences (default: %(default)s)")
    parser.add_argument(
        "--sheets", type=Path, default=Path("out/training"), help="folder of the pictures (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object, figures by avatar")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder, avatars = arguments.avatars, [a for a in AVATARS if arguments.avatar in (None, a.id)]
        if arguments.unseen is not None:
            folder = Path(temporary)
            avatars = [unseen_avatar(arguments.unseen, arguments.weights, folder)]
        figures = {
            avatar.id: measure(
                arguments.weights,
                folder,
                avatar,
                arguments.sentences,
                arguments.sheets / f"phonemes-{avatar.id}.png",
                arguments.pitch,
            )
            for avatar in avatars
        }
    if arguments.json:
        print(json.dumps({name: asdict(measured) for name, measured in figures.items()}))  # noqa: T201 - the result of a command
        return
    print(table(figures))  # noqa: T201 - the result of a command
    print(f"pictures: {arguments.sheets}/phonemes-ID.png, rows {', '.join(SHEET)}")  # noqa: T201 - the result of a command


def table(figures: dict[str, Figures]) -> str:
    """One line a figure, one column an avatar."""
    columns = [asdict(measured) for measured in figures.values()]
    lines = [f"{'':30}" + "".join(f"{name:>12}" for name in figures)]
    for name in columns[0]:
        values = [column[name] for column in columns]
        shown = "".join(f"{value if isinstance(value, int) else format(value, '.3f'):>12}" for value in values)
        lines.append(f"{name:30}{shown}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
