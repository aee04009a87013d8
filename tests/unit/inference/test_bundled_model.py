"""The weights and avatars of this repository are complete, fit each other and render, with no setting at all."""

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from inference.avatar_bundle import AvatarBundle, BundleError
from inference.avatar_store import AVATARS_DIR
from inference.config import HIDDEN_ROW
from inference.drawing.avatars import AVATARS
from inference.engine import Engine
from inference.requests import RenderResult
from inference.weights import NANO_DIR
from tests.inference_data import request

MOST_BYTES = 6_000_000  # of a bundle in the repository
SHIPPED = sorted(path.parent.name for path in AVATARS_DIR.glob("*/avatar.json"))
EVERY_AVATAR = pytest.mark.parametrize("avatar", SHIPPED)
SIZE = 512  # pixels, both ways
SECONDS = (1.5, 6.0)  # of a loop before it turns


@pytest.fixture(scope="module")
def bundled() -> Engine:
    return Engine.load()


@EVERY_AVATAR
def test_a_bundled_avatar_renders_its_mouth_and_leaves_the_rest_of_the_picture(bundled: Engine, avatar: str) -> None:
    bundle = AvatarBundle.load(AVATARS_DIR / avatar)
    spoken = request(bundle.reference, (1.0,) * 8)
    jpeg, raw = bundled.render([spoken, replace(spoken, format="raw")])
    assert isinstance(jpeg, RenderResult)
    assert isinstance(raw, RenderResult)
    for position, frame in enumerate(raw.frames):
        number = bundle.info.frame_at(position)
        picture = np.frombuffer(frame, np.uint8).reshape(SIZE, SIZE, 3).astype(np.int16)
        changed = np.abs(picture - bundle.image(number))
        x1, y1, x2, y2 = bundle.info.boxes[number]
        mouth = changed[y1 + HIDDEN_ROW : y2, x1:x2].copy()
        changed[y1 + HIDDEN_ROW : y2, x1:x2] = 0
        assert changed.max() == 0, "eyes, hair and clothes are the source's own"
        assert mouth.mean() > 0.3
        assert np.abs(simplejpeg.decode_jpeg(jpeg.frames[position]) - picture).mean() < 4


@EVERY_AVATAR
def test_a_bundled_avatar_is_whole_and_of_open_formats(avatar: str) -> None:
    folder = AVATARS_DIR / avatar
    bundle = AvatarBundle.load(folder)  # verifies the hash of all contents
    count = len(bundle.info.boxes)
    frames = {f"frames/{i:05d}.jpg" for i in range(count)}
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"avatar.json", "latents.safetensors", "masks.safetensors"} | frames
    assert SECONDS[0] <= count / bundle.info.fps <= SECONDS[1]
    assert (bundle.info.id, bundle.info.tier) == (avatar, "nano")
    assert bundle.info.display_name


@EVERY_AVATAR
def test_a_bundled_avatar_is_small(avatar: str) -> None:
    assert sum(path.stat().st_size for path in (AVATARS_DIR / avatar).rglob("*") if path.is_file()) <= MOST_BYTES


@EVERY_AVATAR
@pytest.mark.parametrize("name", ["frames/00007.jpg", "latents.safetensors", "masks.safetensors"])
def test_a_changed_byte_of_a_bundled_avatar_is_refused(avatar: str, name: str, tmp_path: Path) -> None:
    folder = tmp_path / avatar
    shutil.copytree(AVATARS_DIR / avatar, folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match="content hash is"):
        AvatarBundle.load(folder)


@EVERY_AVATAR
def test_a_bundled_loop_moves_and_never_jumps(avatar: str) -> None:
    bundle = AvatarBundle.load(AVATARS_DIR / avatar)
    count = len(bundle.frames)
    pictures = [bundle.image(i).astype(np.int16) for i in range(count)]
    assert {picture.shape for picture in pictures} == {(SIZE, SIZE, 3)}
    period = 2 * count - 2 if bundle.info.loop == "ping-pong" else count
    shown = [bundle.info.frame_at(position) for position in range(period + 1)]  # the last step is from end to start
    assert set(shown) == set(range(count))
    steps = [float(np.abs(pictures[a] - pictures[b]).mean()) for a, b in itertools.pairwise(shown)]
    assert max(steps) < 2.0, "a step of the loop is seen as a jump"
    assert min(steps) > 0, "a frame is shown twice in a row"
    moves = [_move(bundle.info.boxes[a], bundle.info.boxes[b]) for a, b in itertools.pairwise(shown)]
    assert max(moves) <= 1, "the face box moves by whole pixels, one at a time"
    eyes = [float(_eyes(bundle, pictures[i], i).std()) for i in range(count)]
    assert max(eyes) > 1.1 * min(eyes), "it blinks: shut eyes show no white and no dark"


def test_the_drawn_avatars_and_a_labelled_model_are_bundled() -> None:
    assert sorted(avatar.id for avatar in AVATARS) == SHIPPED
    config = json.loads((NANO_DIR / "config.json").read_text())
    assert config["tier"] == "nano"
    assert "demonstration" in config["description"]


def _move(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> int:
    """How far a face box moves, pixels along either axis."""
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def _eyes(bundle: AvatarBundle, picture: NDArray[np.int16], frame: int) -> NDArray[np.int16]:
    """The surroundings of both eyes in a frame."""
    x1, y1, _, _ = bundle.info.boxes[frame]
    return picture[y1 + 76 : y1 + 108, x1 + 62 : x1 + 194]
