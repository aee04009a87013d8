"""How well does ``nano`` follow speech? ``python -m inference.training.measure``.

Held-out sentences of the training voice go through the engine with the shipped weights and bundles; ``quality`` says
what is measured. A picture with frames of several phonemes is written too. ``make bench-lipsync-quality`` measures the
held-out voice as well and says what should be reached; this command looks at other weights, voices and faces.
"""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from inference.avatar_bundle import AvatarBundle
from inference.avatar_store import AVATARS_DIR
from inference.config import FPS
from inference.drawing.appearance import random_appearance
from inference.drawing.avatars import AVATARS, DrawnAvatar, loop_pose
from inference.drawing.mouth_shape import MouthShape
from inference.drawing.render import draw_frame
from inference.engine import Engine, EngineSettings
from inference.training.export import export_avatar
from inference.training.quality import Quality, Take, measure
from inference.training.sentences import split
from inference.training.speech import Segment, finish_segment
from inference.training.voice import SILENCE, Voice, change_pitch
from inference.weights import NANO_DIR, VAE_FILE, Model, file_sha256

SHEET = {"aa": "ɑæ", "ee": "i", "oo": "uw", "mm": "mbp", "ff": "fv", "silence": SILENCE}
SENTENCES_SEED = 31


def held_out_segments(sentences: int, pitch: float = 1.0) -> list[Segment]:
    """Sentences of the training voice that training never sees, one reply each."""
    voice, rng = Voice(), np.random.default_rng(12)
    texts = split(SENTENCES_SEED, sentences, held_out=True)
    return [finish_segment(change_pitch(voice.speak(text), pitch), rng, augment=False) for text in texts]


def unseen_avatar(seed: int, model_dir: Path, avatars: Path) -> DrawnAvatar:
    """A drawn identity that training never saw, as a bundle of one frame under ``avatars``."""
    avatar = DrawnAvatar(f"unseen-{seed}", f"Unseen {seed}", random_appearance(np.random.default_rng([seed, 99])))
    frames = draw_frame(MouthShape(), loop_pose(0, avatar.motion), avatar.look)[None]
    vae = Model.load(model_dir, torch.device("cpu")).vae
    export_avatar(avatar, frames, file_sha256(model_dir / VAE_FILE), avatars / avatar.id, vae)
    return avatar


def _middles(segment: Segment, symbols: str) -> list[int]:
    """The frames in the middle of these phonemes; of silence only the long ones."""
    last = len(segment.truth) - 1
    return [
        min(int((phoneme.start + phoneme.end) / 2 * FPS), last)
        for phoneme in segment.phonemes
        if phoneme.symbol in symbols and (phoneme.symbol != SILENCE or phoneme.end - phoneme.start > 0.2)
    ]


def write_sheet(path: Path, take: Take, columns: int = 6) -> None:
    """One row a phoneme group: rendered face crops at the middle of that sound."""
    rows = []
    for symbols in SHEET.values():
        found = [
            crops[f]
            for segment, crops in zip(take.segments, take.rendered, strict=True)
            for f in _middles(segment, symbols)
        ]
        blank = np.zeros((256, 256, 3), np.uint8)
        picked = [found[i * max(1, len(found) // columns)] if i < len(found) else blank for i in range(columns)]
        rows.append(np.concatenate(picked, axis=1))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows, axis=0)).save(path)


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    segments = held_out_segments(arguments.sentences, arguments.pitch)
    figures: dict[str, Quality] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder, avatars = arguments.avatars, [a for a in AVATARS if arguments.avatar in (None, a.id)]
        if arguments.unseen is not None:
            folder = Path(temporary)
            avatars = [unseen_avatar(arguments.unseen, arguments.weights, folder)]
        engine = Engine.load(arguments.weights, (folder,), EngineSettings(device="cpu", threads=arguments.threads))
        for avatar in avatars:
            quality, take = measure(engine, AvatarBundle.load(folder / avatar.id), avatar, segments)
            write_sheet(arguments.sheets / f"phonemes-{avatar.id}.png", take)
            figures[avatar.id] = quality
    if arguments.json:
        print(json.dumps({name: asdict(measured) for name, measured in figures.items()}))  # noqa: T201 - the result of a command
        return
    print(table(figures))  # noqa: T201 - the result of a command
    print(f"pictures: {arguments.sheets}/phonemes-ID.png, rows {', '.join(SHEET)}")  # noqa: T201 - the result of a command


def _arguments() -> argparse.Namespace:
    """The command line."""
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
    return parser.parse_args()


def flat(quality: Quality) -> dict[str, float]:
    """Figures by their names, those of lips and likeness among them."""
    values: dict[str, float] = {}
    for name, value in asdict(quality).items():
        values |= value if isinstance(value, dict) else {name: value}
    return values


def table(figures: dict[str, Quality]) -> str:
    """One line a figure, one column an avatar."""
    columns = [flat(quality) for quality in figures.values()]
    lines = [f"{'':30}" + "".join(f"{name:>12}" for name in figures)]
    for name in columns[0]:
        values = [column[name] for column in columns]
        shown = "".join(f"{value if isinstance(value, int) else format(value, '.3f'):>12}" for value in values)
        lines.append(f"{name:30}{shown}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
