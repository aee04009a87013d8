"""The published layouts become a weights folder that loads, with the very values of the published files."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from inference.checkpoints import convert as converting
from inference.checkpoints.convert import Converted, convert
from inference.checkpoints.layout import find
from inference.checkpoints.manifest import published_files
from inference.checkpoints.names import taesd_decoder
from inference.checkpoints.source import read_table
from inference.config import ModelConfig
from inference.weights import UNET_FILE, Model, WeightsError, build_taesd, file_sha256
from tests.inference_data import SMALL, SMALL_V10
from tests.published_weights import Layout, Networks, write_published, write_taesd

CPU = torch.device("cpu")


def equal(network: nn.Module, other: nn.Module) -> bool:
    """Whether two networks have the same tensors."""
    ours, theirs = network.state_dict(), other.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


LAYOUTS = [
    (SMALL, Layout(taesd_file="diffusion_pytorch_model.safetensors")),
    (SMALL_V10, Layout(taesd_file="taesd_decoder.pth")),
    (SMALL_V10, Layout(vae_folder="sd-vae-ft-mse", whisper_file="tiny.pt")),
    (SMALL, Layout("sd-vae-ft-mse", "diffusion_pytorch_model.safetensors", "model.safetensors")),
]


@pytest.mark.parametrize(("config", "layout"), LAYOUTS)
def test_each_published_layout_loads(config: ModelConfig, layout: Layout, networks: Networks, tmp_path: Path) -> None:
    models = write_published(tmp_path / "models", config, layout=layout, networks=networks)
    convert(models, tmp_path / "weights", config)
    model = Model.load(tmp_path / "weights", CPU)
    assert model.config == config
    assert equal(model.unet, networks.unet)
    assert equal(model.vae, networks.vae)
    half = layout.whisper_file == "tiny.pt"  # OpenAI publishes its models in fp16
    assert equal(model.audio.encoder, networks.whisper.half().float() if half else networks.whisper)
    assert (model.taesd is not None) == bool(layout.taesd_file)
    assert not any(parameter.requires_grad for parameter in (*model.unet.parameters(), *model.vae.parameters()))
    assert not any(network.training for network in (model.unet, model.vae, model.audio))


def test_both_files_of_taesd_hold_the_same_decoder(tmp_path: Path) -> None:
    paths = [tmp_path / "diffusion_pytorch_model.safetensors", tmp_path / "taesd_decoder.pth"]
    for path in paths:
        write_taesd(path, seed=0)
    one, other = (taesd_decoder(path, read_table(path)) for path in paths)
    assert one.keys() == other.keys() == build_taesd().state_dict().keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_files_of_both_versions_may_stand_side_by_side(models: Path, networks: Networks) -> None:
    write_published(models, SMALL_V10, networks=networks)
    assert find(models, "musetalk-v15").unet == models / "musetalkV15" / "unet.pth"
    assert find(models, "musetalk-v10").unet == models / "musetalk" / "pytorch_model.bin"


def test_the_published_precision_is_kept_unless_half_is_asked_for(published: Path, tmp_path: Path) -> None:
    told: list[Converted] = []
    convert(published, tmp_path / "full", SMALL, report=told.append)
    convert(published, tmp_path / "half", SMALL, half=True, report=told.append)
    assert [file.precision for file in told] == ["float32"] * 3 + ["float16"] * 3
    full, half = (load_file(tmp_path / name / UNET_FILE) for name in ("full", "half"))
    assert all(torch.equal(full[name].half(), half[name]) for name in full)


def test_what_each_file_came_from_is_told_and_recorded(published: Path, tmp_path: Path) -> None:
    told: list[Converted] = []
    convert(published, tmp_path / "weights", SMALL, report=told.append)
    assert [(file.name, file.tensors) for file in told] == [
        ("unet.safetensors", 686),
        ("vae.safetensors", 248),
        ("whisper.safetensors", 67),
    ]
    recorded = json.loads((tmp_path / "weights" / "sources.json").read_text())
    assert recorded["tier"] == "musetalk-v15"
    assert {file["path"]: file["sha256"] for file in recorded["files"]} == {
        path.relative_to(published).as_posix(): file_sha256(path) for path in published.rglob("*") if path.is_file()
    }
    assert not any(file["as_published"] for file in recorded["files"])
    assert os.listdir(tmp_path) == ["weights"]
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in (tmp_path / "weights").iterdir())


def test_a_file_with_a_checksum_on_record_is_known_as_published(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = file_sha256(published / "musetalkV15/unet.pth")
    monkeypatch.setattr(converting, "published_sha256", lambda: frozenset({unet}))
    told: list[Converted] = []
    convert(published, tmp_path / "weights", SMALL, report=told.append)
    assert [file.source.as_published for file in told] == [True, False, False]


def test_the_record_holds_each_file_of_the_published_script_once() -> None:
    for version in ("v15", "v10"):
        files = published_files(version, taesd=True)
        assert len({file.path for file in files}) == len(files) == 7
        assert all(len(file.revision) == 40 for file in files)
        assert all(file.sha256 is None or len(file.sha256) == 64 for file in files)


def test_a_folder_that_exists_is_refused_and_unharmed(published: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("mine")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("mine")
    with pytest.raises(WeightsError, match=r"home: exists; name a folder that does not, or replace it with --force"):
        convert(published, tmp_path / "home", SMALL)
    with pytest.raises(WeightsError, match=r"home: not a weights folder, it has no config.json"):
        convert(published, tmp_path / "home", SMALL, force=True)
    assert (tmp_path / "home" / "letter").read_text() == "mine"


def test_force_replaces_a_weights_folder_but_only_by_a_whole_one(models: Path, tmp_path: Path) -> None:
    target = tmp_path / "weights"
    convert(models, target, SMALL)
    convert(models, target, SMALL, half=True, force=True)
    assert json.loads((target / "sources.json").read_text())["half"] is True
    (models / "musetalkV15" / "unet.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"unet.pth: empty"):
        convert(models, target, SMALL, force=True)
    assert Model.load(target, CPU).config == SMALL
    assert sorted(os.listdir(tmp_path)) == ["models", "weights"]


def test_a_folder_that_cannot_be_made_is_told(published: Path, tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("mine")
    with pytest.raises(WeightsError, match=r"letter/weights: cannot be made \(.*Not a directory"):
        convert(published, tmp_path / "letter" / "weights", SMALL)


def test_too_little_room_is_told_before_anything_is_written(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converting, "SPARE_BYTES", 1 << 60)
    with pytest.raises(WeightsError, match=r"weights: needs [\d.]+ GB, [\d.]+ GB are free there; make room"):
        convert(published, tmp_path / "weights", SMALL)
    assert not (tmp_path / "weights").exists()
