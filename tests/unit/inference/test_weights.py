"""Weights folders: a wrong file gives one sentence that names it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.config import NANO, ModelConfig
from inference.weights import TAESD_FILE, Model, WeightsError, build_taesd, save_tensors
from tests.inference_data import SMALL, write_weights

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
    with pytest.raises(WeightsError, match=r"layer_norm.bias is \[7\], the architecture asks for \[384\]"):
        Model.load(folder, CPU)


def test_a_pickle_is_refused(folder: Path) -> None:
    torch.save({"conv_in.weight": torch.zeros(1)}, folder / "unet.safetensors")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        Model.load(folder, CPU)


def test_published_sizes_load_without_audio_statistics_and_with_the_tiny_decoder_where_it_is(tmp_path: Path) -> None:
    folder = write_weights(tmp_path / "small", config=SMALL)
    assert not (folder / "audio_norm.safetensors").exists()
    model = Model.load(folder, CPU)
    assert model.config == SMALL
    assert model.taesd is None
    assert float(model.audio.deviation.mean()) == 1.0
    tensors = build_taesd().state_dict()
    save_tensors(folder / TAESD_FILE, tensors, torch.float32)
    taesd = Model.load(folder, CPU).taesd
    assert taesd is not None
    latents = torch.randn(1, 4, 32, 32)
    decode = taesd.get_submodule("decoder")
    assert decode(latents).shape == (1, 3, 256, 256)
    assert all(torch.equal(taesd.state_dict()[name], tensors[name]) for name in tensors)


def test_every_user_may_read_a_weights_file(folder: Path) -> None:
    save_tensors(folder / "unet.safetensors", {"a": torch.zeros(1)}, torch.float32)
    assert (folder / "unet.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_config_without_sizes_is_refused(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({"tier": "nano"}))
    with pytest.raises(WeightsError, match=r"config.json: not a model configuration"):
        Model.load(folder, CPU)
