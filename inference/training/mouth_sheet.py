"""A picture of the bundled avatars in six mouth shapes: ``python -m inference.training.mouth_sheet``.

Every cell is a whole frame that the engine rendered from a spoken sound, with the shipped weights and bundles; nothing
in it is drawn. One row an avatar; the columns are silence, aa, ee, oo, mm and ff.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from inference.avatar_bundle import AvatarBundle
from inference.avatar_store import AVATARS_DIR
from inference.engine import Engine, EngineSettings
from inference.training.rendering import Measured
from inference.training.sounds import KINDS, say, silence
from inference.training.voice import Voice
from inference.weights import NANO_DIR

EXAMPLES = {"aa": "as in hot", "ee": "as in tea", "oo": "as in too", "mm": "as in hymn", "ff": "as in off"}
LABEL_HEIGHT = 56
LABEL_PIXELS = 28
PAPER, INK, MARGIN = (250, 249, 246), (38, 40, 46), 12
QUALITY = 88


def shapes(measured: Measured, voice: Voice) -> dict[str, NDArray[np.uint8]]:
    """The label of each shape and one rendered frame [512, 512, 3] of it, silence first."""
    quiet = silence()
    frames = {"silence": measured.still(quiet, len(quiet.truth) // 2)}
    for kind in KINDS:
        sound = say(voice, kind)
        frames[f"{kind}, {EXAMPLES[kind]}"] = measured.still(sound.segment, sound.clearest())
    return frames


def draw_sheet(rows: list[dict[str, NDArray[np.uint8]]]) -> Image.Image:
    """Rows of labelled frames on one sheet; every row has the same labels."""
    size, labels = next(iter(rows[0].values())).shape[0], list(rows[0])
    cell = size + MARGIN
    sheet = Image.new("RGB", (len(labels) * cell + MARGIN, len(rows) * cell + LABEL_HEIGHT), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(LABEL_PIXELS)
    for column, label in enumerate(labels):
        left = MARGIN + column * cell
        pen.text((left + size / 2, LABEL_HEIGHT / 2), label, INK, font, anchor="mm")
        for row, frames in enumerate(rows):
            sheet.paste(Image.fromarray(frames[label]), (left, LABEL_HEIGHT + row * cell))
    return sheet


def main() -> None:
    """Render and write the picture."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.training.mouth_sheet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", type=Path, default=NANO_DIR, help="weights folder (default: %(default)s)")
    parser.add_argument("--avatars", type=Path, default=AVATARS_DIR, help="folder of bundles (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/images/mouth-shapes.jpg"), help="picture to write (default: %(default)s)"
    )
    arguments = parser.parse_args()
    folders = sorted(path.parent for path in arguments.avatars.glob("*/avatar.json"))
    if not folders:
        parser.error(f"--avatars {arguments.avatars}: no bundles there; name a folder such as {AVATARS_DIR}")
    engine = Engine.load(arguments.weights, (arguments.avatars,), EngineSettings(device="cpu"))
    voice = Voice()
    rows = [shapes(Measured(engine, AvatarBundle.load(folder)), voice) for folder in folders]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    draw_sheet(rows).save(arguments.out, quality=QUALITY)
    print(f"{arguments.out}: {', '.join(folder.name for folder in folders)}; columns {', '.join(rows[0])}")  # noqa: T201 - the result of a command


if __name__ == "__main__":
    main()
