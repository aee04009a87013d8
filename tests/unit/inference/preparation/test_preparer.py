"""A photograph becomes a bundle that the engine renders; only what is asked for is computed."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.avatar_bundle import AvatarInfo, save_bundle
from inference.engine import Engine
from inference.preparation.boxes import NO_BOX
from inference.preparation.preparer import Prepared, Preparer, PrepareRequest, PreparerSettings
from inference.requests import InvalidRequest, RenderResult
from inference.weights import WeightsError
from tests.inference_data import SMALL, SMALL_V10, request, write_weights

ALL = frozenset({"BOXES", "FACES", "LATENTS", "MASKS"})


def jpeg(image: NDArray[np.uint8]) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(image), 95, colorspace="RGB")
    return encoded


ASTRONAUT = jpeg(skimage.data.astronaut())
ONE = PrepareRequest((ASTRONAUT,), None, 0, ALL)


@pytest.fixture(scope="module")
def v15(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("v15"), config=SMALL)


@pytest.fixture(scope="module")
def v10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("v10"), config=SMALL_V10)


def mask_of(prepared: Prepared) -> NDArray[np.uint8]:
    return np.array(Pillow.open(io.BytesIO(prepared.mask)))


def test_a_photograph_becomes_a_bundle_that_is_rendered_in_the_mouths_place_alone(v15: Path, tmp_path: Path) -> None:
    preparer = Preparer(PreparerSettings(v15))
    prepared = preparer.prepare(ONE)[0]
    x1, y1, x2, y2 = prepared.box
    mask = mask_of(prepared)
    assert mask.shape == (y2 - y1, x2 - x1)
    assert not mask[: (y2 - y1) // 3].any()
    assert mask.max() == 255
    tier, vae_sha256 = preparer.weights
    info = AvatarInfo("anna", "Anna", 512, 512, 25.0, "ping-pong", (prepared.box,), tier, vae_sha256)
    sha256 = save_bundle(tmp_path / "anna", info, [ASTRONAUT], torch.from_numpy(prepared.latents)[None], [mask])
    answer = Engine.load(v15, [tmp_path]).render([replace(request(f"anna@{sha256}", (1.0,) * 2), format="raw")])[0]
    assert isinstance(answer, RenderResult)
    assert answer.rendered == 2
    shown = np.frombuffer(answer.frames[0], np.uint8).reshape(512, 512, 3)
    changed = (shown != simplejpeg.decode_jpeg(ASTRONAUT, colorspace="RGB")).any(axis=2)
    assert changed[y1:y2, x1:x2][mask > 200].mean() > 0.9
    changed[y1:y2, x1:x2][mask > 0] = False
    assert not changed.any()


def test_version_10_has_no_margin_and_its_box_can_be_moved(v15: Path, v10: Path) -> None:
    boxes = PrepareRequest((ASTRONAUT,), None, 0, frozenset({"BOXES"}))
    new, old = Preparer(PreparerSettings(v15)), Preparer(PreparerSettings(v10))
    x1, y1, x2, y2 = old.prepare(boxes)[0].box
    assert new.prepare(boxes)[0].box == (x1, y1, x2, y2 + 10)
    assert old.prepare(replace(boxes, box_shift=7))[0].box == (x1, y1 + 14, x2, y2)
    with pytest.raises(InvalidRequest, match="BOX_SHIFT: 101 pixels"):
        old.prepare(replace(boxes, box_shift=101))
    with pytest.raises(InvalidRequest, match="the boxes of musetalk-v15 cannot be moved"):
        new.prepare(replace(boxes, box_shift=7))


def test_what_is_not_asked_for_is_not_computed(v15: Path) -> None:
    preparer = Preparer(PreparerSettings(v15))
    found = preparer.prepare(replace(ONE, outputs=frozenset({"BOXES", "FACES"})))[0]
    assert found.box != NO_BOX
    assert not found.latents.any()
    assert found.mask == b""
    given = replace(ONE, boxes=np.array([found.box], np.int32), outputs=frozenset({"LATENTS"}))
    assert np.array_equal(preparer.prepare(given)[0].latents, preparer.prepare(ONE)[0].latents)
    assert "finder" in vars(preparer)
    latents_alone = Preparer(PreparerSettings(v15))
    latents_alone.prepare(given)
    assert "finder" not in vars(latents_alone)


def test_the_same_request_gives_the_same_bytes(v15: Path) -> None:
    one, again = (Preparer(PreparerSettings(v15)).prepare(ONE)[0] for _ in range(2))
    assert one.latents.tobytes() == again.latents.tobytes()
    assert (one.box, one.confidence, one.mask) == (again.box, again.confidence, again.mask)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"config\.json: cannot be read"):
        Preparer(PreparerSettings(tmp_path)).prepare(ONE)
