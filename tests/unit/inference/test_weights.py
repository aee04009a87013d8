"""Weights folders: a wrong file gives one sentence that names it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.config import NANO, ModelConfig
from inference.weights import Model, WeightsError

CPU = torch.device("cpu")


def edit(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


@pytest.fixture
def folder(weights_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(weights_dir, tmp_path / "weights"))


def test_a_saved_folder_loads_in_evaluation_mode(folder: Path) -> None:
    model = Model.load(folder, CPU)
    assert model.config == NANO == ModelConfig.load(folder)
    assert not model.audio.training
    assert float(model.audio.deviation.mean()) == 2.0


@pytest.mark.parametrize(
    "name", ["config.json", "unet.safetensors", "vae.safetensors", "whisper.safetensors", "audio_norm.safetensors"]
)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=name):
        Model.load(folder, CPU)


def test_a_missing_tensor_is_refused(folder: Path) -> None:
    edit(folder / "unet.safetensors", lambda tensors: tensors.pop("conv_in.weight"))
    with pytest.raises(WeightsError, match=r"unet.safetensors: tensor conv_in.weight is missing \(1 in all\)"):
        Model.load(folder, CPU)


def test_an_unknown_tensor_is_refused(folder: Path) -> None:
    edit(folder / "vae.safetensors", lambda tensors: tensors.update(extra=torch.zeros(1)))
    with pytest.raises(WeightsError, match="tensor extra is not part of this architecture"):
        Model.load(folder, CPU)


def test_a_wrong_shape_is_refused(folder: Path) -> None:
    edit(folder / "whisper.safetensors", lambda tensors: tensors.update({"layer_norm.bias": torch.zeros(7)}))
    with pytest.raises(WeightsError, match=r"layer_norm.bias is \[7\], config.json asks for \[384\]"):
        Model.load(folder, CPU)


def test_a_pickle_is_refused(folder: Path) -> None:
    torch.save({"conv_in.weight": torch.zeros(1)}, folder / "unet.safetensors")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        Model.load(folder, CPU)


def test_a_config_without_sizes_is_refused(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({"tier": "nano"}))
    with pytest.raises(WeightsError, match=r"config.json: not a model configuration"):
        Model.load(folder, CPU)
