"""The weights and avatars of this repository fit each other and render, with no setting at all."""

import json

import numpy as np
import pytest
import simplejpeg

from inference.avatar_bundle import AvatarBundle
from inference.avatar_store import AVATARS_DIR
from inference.engine import Engine
from inference.requests import RenderResult
from inference.weights import NANO_DIR
from tests.inference_data import request

MOST_BYTES = 6 << 20  # of a bundle in the repository


@pytest.fixture(scope="module")
def bundled() -> Engine:
    return Engine.load()


@pytest.mark.parametrize("avatar", sorted(path.name for path in AVATARS_DIR.iterdir()) if AVATARS_DIR.is_dir() else [])
def test_a_bundled_avatar_renders(bundled: Engine, avatar: str) -> None:
    bundle = AvatarBundle.load(AVATARS_DIR / avatar)
    (answer,) = bundled.render([request(bundle.reference, (1.0,) * 8)])
    assert isinstance(answer, RenderResult)
    for position, frame in enumerate(answer.frames):
        changed = np.abs(simplejpeg.decode_jpeg(frame).astype(int) - bundle.image(bundle.info.frame_at(position)))
        x1, _, x2, y2 = bundle.info.boxes[bundle.info.frame_at(position)]
        assert changed[:, x1:x2][: y2 - 120].mean() < changed[y2 - 120 : y2, x1:x2].mean()  # the mouth, not the eyes


@pytest.mark.parametrize("avatar", sorted(path.name for path in AVATARS_DIR.iterdir()) if AVATARS_DIR.is_dir() else [])
def test_a_bundled_avatar_is_small_and_of_the_demonstration_tier(avatar: str) -> None:
    folder = AVATARS_DIR / avatar
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= MOST_BYTES
    assert AvatarBundle.load(folder).info.tier == "nano"


def test_an_avatar_and_a_labelled_model_are_bundled() -> None:
    assert any(path.is_dir() for path in AVATARS_DIR.iterdir())
    config = json.loads((NANO_DIR / "config.json").read_text())
    assert config["tier"] == "nano"
    assert "demonstration" in config["description"]
