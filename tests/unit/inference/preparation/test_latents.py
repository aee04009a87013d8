"""Face crops as the autoencoder takes them, and their latents, against diffusers called step by step."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inference.avatar_bundle import AvatarBundle
from inference.avatar_store import AVATARS_DIR
from inference.preparation.encoder import FaceEncoder
from inference.preparation.latents import crop_face, encode_faces, hide_lower_half, to_input
from inference.weights import NANO_DIR, Model, WeightsError
from tests.inference_data import SMALL, write_weights

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def kl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("kl"), seed=3, config=SMALL)


@pytest.fixture(scope="module", params=["kl", "tiny"])
def folder(request: pytest.FixtureRequest, kl_folder: Path) -> Path:
    return kl_folder if request.param == "kl" else NANO_DIR


def faces(count: int = 2) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(5).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return np.stack([cv2.resize(each, (256, 256), interpolation=cv2.INTER_CUBIC) for each in coarse])


def test_pixels_are_rgb_scaled_to_one_and_the_lower_half_is_exactly_black() -> None:
    pictures = faces()
    pixels = to_input(pictures)
    assert pixels.shape == (2, 3, 256, 256)
    assert pixels[1, 2, 7, 9].item() == pytest.approx(pictures[1, 7, 9, 2] / 127.5 - 1, abs=1e-6)
    hidden = hide_lower_half(pixels)
    assert torch.equal(hidden[:, :, :128], pixels[:, :, :128])
    assert (hidden[:, :, 128:] == -1.0).all()
    # What multiplying by a mask before normalising gives, as upstream does it.
    masked = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    masked[:, :, 128:] = 0
    assert torch.equal(hidden, (masked - 0.5) / 0.5)


def test_crops_are_opencvs_lanczos() -> None:
    image = np.random.default_rng(1).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    crop = crop_face(image, (20, 30, 140, 190))
    swapped = cv2.resize(image[30:190, 20:140, ::-1], (256, 256), interpolation=cv2.INTER_LANCZOS4)
    assert np.array_equal(crop, swapped[..., ::-1])  # channels are resized apart: BGR or RGB is the same
    assert np.array_equal(crop_face(crop, (0, 0, 256, 256)), crop)


def test_latents_are_the_mode_masked_first_and_scaled(kl_folder: Path) -> None:
    model = Model.load(kl_folder, CPU)
    vae: Any = model.vae
    pixels = ((torch.from_numpy(faces()).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5).contiguous()
    black = pixels.clone()
    black[:, :, 128:] = -1
    with torch.inference_mode():
        expected = torch.cat([vae.encode(part[1:]).latent_dist.mode() * 0.18215 for part in (black, pixels)], dim=1)
    latents = encode_faces(model, faces())
    assert latents.shape == (2, 8, 32, 32)
    assert latents.dtype == torch.float32
    assert (latents[1:] - expected).abs().max() < 1e-4
    assert (latents[:, :4] - latents[:, 4:]).abs().max() > 0.01


def test_a_seeded_sample_scatters_around_the_mode(kl_folder: Path) -> None:
    """Upstream draws a sample: the mode is the middle of what it draws."""
    model = Model.load(kl_folder, CPU)
    vae: Any = model.vae
    with torch.inference_mode():
        distribution = vae.encode(to_input(faces(1))).latent_dist
        generator = torch.Generator().manual_seed(1)
        draws = torch.stack([distribution.sample(generator) for _ in range(64)])
        error = (draws.mean(0) - distribution.mode()).abs() / distribution.std
    assert error.mean() < 0.2  # 64 draws: 0.1 in the mean
    assert (encode_faces(model, faces(1))[:, 4:] / 0.18215 - distribution.mode()).abs().max() < 1e-4


def test_the_encoder_alone_gives_the_whole_models_latents(folder: Path) -> None:
    encoder, model = FaceEncoder.load(folder, CPU), Model.load(folder, CPU)
    assert encoder.vae_sha256 == model.vae_sha256
    assert torch.equal(encode_faces(encoder, faces()), encode_faces(model, faces()))
    names = [name for name, _ in encoder.vae.named_parameters()]
    assert names
    assert not [name for name in names if "decoder" in name]


def test_the_same_crops_give_the_same_bits_in_any_batch(folder: Path) -> None:
    encoder = FaceEncoder.load(folder, CPU)
    once, again = encode_faces(encoder, faces(3)), encode_faces(encoder, faces(3))
    assert torch.equal(once, again)
    assert torch.equal(once[1:2], encode_faces(encoder, faces(3)[1:2]))


def test_half_precision_is_close_and_comes_back_as_fp32(kl_folder: Path) -> None:
    full = encode_faces(FaceEncoder.load(kl_folder, CPU), faces(1))
    half = encode_faces(FaceEncoder.load(kl_folder, CPU, "bf16"), faces(1))
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    assert (half - full).abs().mean() < 0.02 * full.abs().mean() + 0.01
    with pytest.raises(WeightsError, match="precision is 'int8', not one of fp32, fp16, bf16"):
        FaceEncoder.load(kl_folder, CPU, "int8")


def test_a_drawn_avatars_latents_are_those_of_its_frames() -> None:
    """The bundles were encoded before their frames became JPEGs: close, not equal."""
    bundle = AvatarBundle.load(AVATARS_DIR / "ada")
    crop = crop_face(bundle.image(0), bundle.info.boxes[0])
    latents = encode_faces(FaceEncoder.load(NANO_DIR, CPU), crop[None])[0]
    difference = latents - bundle.latents[0]
    assert difference.abs().mean() < 0.05 * bundle.latents[0].abs().mean()
