"""The painter with every kind of model: what it paints, and that a frame does not depend on its batch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from inference.compositor import to_pixels
from inference.config import NANO, ModelConfig
from inference.decoder import WHOLE_FACE, DecoderChoice, Region
from inference.engine import Engine, EngineSettings
from inference.painter import MouthPainter
from inference.weights import TAESD_FILE, Model, WeightsError, build_taesd, save_tensors
from tests.inference_data import SMALL, write_weights

CPU = torch.device("cpu")
KINDS: dict[str, tuple[ModelConfig, DecoderChoice]] = {
    "nano": (NANO, "own"),
    "published": (SMALL, "own"),
    "taesd": (SMALL, "taesd"),
}
EVERY_KIND = pytest.mark.parametrize("kind", list(KINDS))
MOUTH = Region(128, 240, 56, 200)
Loads = Callable[[str], Model]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Loads:
    """A fresh copy of the model of a kind."""
    folders: dict[ModelConfig, Path] = {}
    for config in (NANO, SMALL):
        folders[config] = write_weights(tmp_path_factory.mktemp(config.tier), config=config)
    torch.manual_seed(1)
    taesd = build_taesd().requires_grad_(False)
    last = list(taesd.get_submodule("decoder.layers").children())[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    last.weight.mul_(10)  # else nearly every pixel would be black, whatever was painted
    last.bias.fill_(0.5)
    save_tensors(folders[SMALL] / TAESD_FILE, taesd.state_dict(), torch.float16)
    return lambda kind: Model.load(folders[KINDS[kind][0]], CPU)


def painter(model: Model, kind: str, sizes: tuple[int, ...] = (1, 2, 4, 8)) -> MouthPainter:
    return MouthPainter(model, CPU, sizes, decoder=KINDS[kind][1])


def inputs(rows: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(rows, 8, 32, 32, generator=generator), torch.randn(rows, 50, width, generator=generator)


@EVERY_KIND
def test_what_is_painted_is_what_plain_diffusers_gives(load: Loads, kind: str) -> None:
    plain, model = load(kind), load(kind)
    latents, tokens = inputs(2, plain.config.whisper.width)
    with torch.inference_mode():
        denoised = plain.unet(latents, torch.tensor([0]), encoder_hidden_states=tokens).sample
        if kind == "published":
            decoded = plain.vae.decode(denoised / 0.18215).sample  # type: ignore[operator]  # diffusers' method
        else:
            decoded = (plain.taesd or plain.vae).get_submodule("decoder")(denoised)
        expected = to_pixels(decoded).numpy().astype(np.int16)
        painted = painter(model, kind).paint(latents, tokens, [WHOLE_FACE, MOUTH])
    assert np.abs(painted[0] - expected[0]).max() <= 1
    rows, columns = MOUTH.slices(WHOLE_FACE)
    assert np.abs(painted[1] - expected[1][rows, columns]).max() <= 1
    assert expected.std() > 3, "random weights still give a picture"


@EVERY_KIND
def test_a_frame_does_not_depend_on_its_batch_nor_on_the_rows_that_fill_it_up(load: Loads, kind: str) -> None:
    frames = painter(load(kind), kind)
    latents, tokens = inputs(5, load(kind).config.whisper.width)
    with torch.inference_mode():
        together = frames.paint(latents, tokens, [MOUTH] * 5)  # 5 rows and 3 of zeros
        latent = frames.denoise(latents, tokens)
        for row in range(5):
            one = slice(row, row + 1)
            assert (frames.denoise(latents[one], tokens[one]) - latent[one]).abs().max() <= 1e-5
            (alone,) = frames.paint(latents[one], tokens[one], [MOUTH])
            assert np.abs(alone.astype(np.int16) - together[row]).max() <= 1


def test_more_rows_than_the_largest_batch_run_in_several(load: Loads) -> None:
    frames = painter(load("nano"), "nano", sizes=(1, 2))
    latents, tokens = inputs(5, 384)
    regions = [MOUTH, WHOLE_FACE, MOUTH, MOUTH, WHOLE_FACE]
    with torch.inference_mode():
        painted = frames.paint(latents, tokens, regions)
        for row, region in enumerate(regions):
            (alone,) = frames.paint(latents[row : row + 1], tokens[row : row + 1], [region])
            assert painted[row].shape == (region.bottom - region.top, region.right - region.left, 3)
            assert np.abs(alone.astype(np.int16) - painted[row]).max() <= 1


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_paints_nearly_the_same(load: Loads, precision: str) -> None:
    latents, tokens = inputs(1, SMALL.whisper.width)
    with torch.inference_mode():
        (full,) = painter(load("published"), "published").paint(latents, tokens, [WHOLE_FACE])
        half_painter = MouthPainter(load("published"), CPU, (1,), precision)  # type: ignore[arg-type]  # one of Precision
        (half,) = half_painter.paint(latents, tokens, [WHOLE_FACE])
    difference = np.abs(full.astype(np.int16) - half)
    assert 0 < difference.mean() <= 1.5


def test_painting_again_with_the_same_model_changes_nothing(load: Loads) -> None:
    model = load("published")
    latents, tokens = inputs(1, SMALL.whisper.width)
    with torch.inference_mode():
        (first,) = painter(model, "published").paint(latents, tokens, [MOUTH])
        (second,) = painter(model, "published").paint(latents, tokens, [MOUTH])
    assert np.array_equal(first, second)


def test_taesd_is_refused_where_the_model_has_a_tiny_decoder_of_its_own(load: Loads) -> None:
    with pytest.raises(WeightsError, match="tier nano has a tiny one of its own; set decoder to own"):
        MouthPainter(load("nano"), CPU, (1,), decoder="taesd")


def test_taesd_is_refused_where_the_weights_folder_has_none(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "small", config=SMALL)
    with pytest.raises(WeightsError, match=r"needs taesd\.safetensors in the weights folder"):
        Engine.load(weights, [], EngineSettings(decoder="taesd"))
