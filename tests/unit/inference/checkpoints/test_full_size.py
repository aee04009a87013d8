"""The published files at their full size, 3.9 GB: both versions become folders that load, in little memory."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import nn

from inference.checkpoints.convert import Converted, convert
from inference.config import MUSETALK_V10, MUSETALK_V15
from inference.networks import build_unet, build_vae
from inference.weights import Model
from inference.whisper_encoder import WhisperEncoder
from tests.published_weights import Networks, write_published

CPU = torch.device("cpu")
COUNTS = [
    ("unet.safetensors", 686, 849_947_844),
    ("vae.safetensors", 248, 83_653_863),
    ("whisper.safetensors", 67, 8_208_384),
]


def numbered(network: nn.Module) -> nn.Module:
    """A network on the meta device made real, each of its tensors filled with a number of its own."""
    network.to_empty(device=CPU).requires_grad_(False)
    for i, tensor in enumerate(network.state_dict().values()):
        tensor.fill_(i / 1024)  # exact in fp16 too
    return network


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Path]:
    with torch.device("meta"):
        unet, vae = cast(nn.Module, build_unet(MUSETALK_V15)), cast(nn.Module, build_vae(MUSETALK_V15))
        whisper = WhisperEncoder(MUSETALK_V15.whisper)
    numbered(whisper)
    yield write_published(tmp_path / "models", MUSETALK_V15, networks=Networks(numbered(unet), numbered(vae), whisper))
    shutil.rmtree(tmp_path)


def check(folder: Path) -> None:
    """Each tensor holds its number: none was taken for another."""
    model = Model.load(folder, CPU)
    for network in (model.unet, model.vae, model.audio.encoder):
        for i, (name, tensor) in enumerate(network.state_dict().items()):
            assert [float(end) for end in torch.aminmax(tensor)] == [i / 1024] * 2, name


@pytest.mark.full
@pytest.mark.timeout(900)
def test_both_versions_load_at_full_size(models: Path, tmp_path: Path) -> None:
    told: list[Converted] = []
    convert(models, tmp_path / "v15", MUSETALK_V15, report=told.append)
    assert [(file.name, file.tensors, file.parameters) for file in told] == COUNTS
    assert {file.precision for file in told} == {"float32"}
    check(tmp_path / "v15")
    shutil.rmtree(tmp_path / "v15")

    (models / "musetalkV15" / "unet.pth").rename(models / "musetalkV15" / "pytorch_model.bin")
    (models / "musetalkV15").rename(models / "musetalk")
    convert(models, tmp_path / "v10", MUSETALK_V10, half=True)
    check(tmp_path / "v10")
