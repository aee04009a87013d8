"""Preprocessing, autoencoder, U-Net and pixels: the engine's, rewrites and all, against diffusers' plain classes."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from inference.compositor import to_pixels
from inference.config import Positions
from inference.decoder import WHOLE_FACE, Region
from inference.painter import MouthPainter
from inference.preparation.latents import crop_face, encode_faces, hide_lower_half, to_input
from inference.weights import Model
from tests.parity import reference as plain
from tests.parity.conftest import CPU
from tests.parity.reference import Picture, Reference, resized, swapped

SIZES = (1, 2, 4, 8)
REGION = Region(120, 243, 33, 201)


def relative(found: Tensor, expected: Tensor) -> float:
    """The largest error beside the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.fixture(scope="module")
def painter(converted: Callable[[Positions], Path]) -> MouthPainter:
    """It takes its networks over, so they are its own."""
    return MouthPainter(Model.load(converted("padded"), CPU), CPU, SIZES)


@pytest.fixture(scope="module")
def taesd_painter(converted: Callable[[Positions], Path]) -> MouthPainter:
    return MouthPainter(Model.load(converted("padded"), CPU), CPU, SIZES, decoder="taesd")


def inputs(model: Model, rows: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Latents [B, 8, 32, 32] and windows [B, 50, C] without positions."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(rows, 8, 32, 32, generator=generator)
    return latents, torch.randn(rows, 50, model.config.whisper.width, generator=generator)


def test_a_face_is_cropped_and_normalised_as_upstream_does_it(face: Picture) -> None:
    picture = resized(face, 311, 173)
    box = (20, 31, 241, 160)
    crop = crop_face(swapped(picture), box)
    expected = resized(picture[31:160, 20:241], 256, 256, cv2.INTER_LANCZOS4)
    np.testing.assert_array_equal(crop, swapped(expected))
    assert torch.equal(to_input(crop[None]), plain.normalised(expected, masked=False))
    masked = hide_lower_half(to_input(crop[None]))
    assert torch.equal(masked, plain.normalised(expected, masked=True))
    assert (masked[:, :, 128:] == -1).all()
    assert (masked[:, :, :128] != -1).any()


def test_latents_are_the_mode_masked_first(model: Model, reference: Reference, face: Picture) -> None:
    found = encode_faces(model, swapped(face)[None])
    assert found.shape == (1, 8, 32, 32)
    assert (found - reference.latents(face)).abs().max() <= 1e-4
    # Without the masking the halves would be alike; they differ, and the first is the one without a mouth.
    black = face.copy()
    black[128:] = 0
    assert (found[:, :4] - reference.latents(black)[:, 4:]).abs().max() <= 1e-4
    assert (found[:, :4] - found[:, 4:]).abs().max() > 1e-2


def test_latents_of_the_same_face_are_the_same_to_the_bit(model: Model, face: Picture) -> None:
    crops = np.stack([swapped(face), swapped(face)[::-1]])
    first, second = encode_faces(model, crops), encode_faces(model, crops)
    assert torch.equal(first, second)
    assert torch.equal(first[1:], encode_faces(model, crops[1:]))


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 3, 8])
def test_the_u_net_is_diffusers_at_timestep_0(
    rows: int, painter: MouthPainter, model: Model, reference: Reference
) -> None:
    latents, windows = inputs(model, rows)
    found = painter.denoise(latents, windows + model.audio.token_positions)
    assert relative(found, reference.denoise(latents, windows)) <= 1e-5


@torch.inference_mode()
def test_a_frame_is_the_same_alone_and_in_a_mixed_batch(painter: MouthPainter, model: Model) -> None:
    latents, tokens = inputs(model, 8)
    together = painter.denoise(latents, tokens)
    for row in (0, 5):
        assert relative(painter.denoise(latents[row : row + 1], tokens[row : row + 1]), together[row : row + 1]) <= 1e-5
    others = painter.denoise(torch.cat([latents[:1], inputs(model, 7, seed=2)[0]]), tokens)
    assert torch.equal(others[0], together[0])


@torch.inference_mode()
def test_rows_that_fill_a_batch_up_do_not_leak(painter: MouthPainter, model: Model) -> None:
    latents, tokens = inputs(model, 3)
    three = painter.paint(latents, tokens, [WHOLE_FACE] * 3)
    for row, picture in enumerate(three):
        (alone,) = painter.paint(latents[row : row + 1], tokens[row : row + 1], [WHOLE_FACE])
        assert np.abs(picture.astype(int) - alone).max() <= 1


@torch.inference_mode()
@pytest.mark.parametrize("region", [WHOLE_FACE, REGION], ids=["whole", "part"])
def test_pixels_are_those_of_diffusers_decoder(
    region: Region, painter: MouthPainter, model: Model, reference: Reference
) -> None:
    denoised = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(4))
    found = painter.decode(denoised, region)
    expected = np.stack([swapped(picture) for picture in reference.decode(denoised)])
    assert np.abs(found.astype(int) - expected[(slice(None), *region.slices(WHOLE_FACE))]).max() <= 1


def test_pixels_are_clamped_and_rounded_half_to_even_in_the_order_of_channels() -> None:
    levels = torch.arange(-64, 640) / 2  # 0.5 apart, in levels of 255
    decoded = (levels / 255 * 2 - 1).expand(1, 3, 2, -1).clone()
    decoded[:, 1] *= 0.5
    found = to_pixels(decoded)
    np.testing.assert_array_equal(found.numpy()[..., ::-1], plain.pixels(decoded))
    assert found.min() == 0
    assert found.max() == 255


@torch.inference_mode()
def test_taesd_decodes_the_scaled_latents(taesd_painter: MouthPainter, converted: Callable[[Positions], Path]) -> None:
    """It is fed what the U-Net gives, undivided. How like its pictures are to KL's only real weights can tell."""
    taesd = Model.load(converted("padded"), CPU).taesd
    assert taesd is not None
    denoised = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(4))
    expected = to_pixels(taesd.get_submodule("decoder")(denoised)).numpy().astype(int)
    for region in (WHOLE_FACE, REGION):
        found = taesd_painter.decode(denoised, region)
        assert np.abs(found - expected[(slice(None), *region.slices(WHOLE_FACE))]).max() <= 1


@torch.inference_mode()
def test_the_same_inputs_give_the_same_pixels_to_the_bit(painter: MouthPainter, model: Model) -> None:
    latents, tokens = inputs(model, 3)
    first, second = (painter.paint(latents, tokens, [REGION] * 3) for _ in range(2))
    assert all(map(np.array_equal, first, second))
