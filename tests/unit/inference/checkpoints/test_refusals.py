"""A file that is not what MuseTalk publishes is refused with one line: which file, what is wrong, the way out."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.checkpoints.convert import convert
from inference.config import MUSETALK_V15
from inference.weights import WeightsError
from tests.inference_data import SMALL
from tests.published_weights import Layout, Networks, write_published

UNET = "musetalkV15/unet.pth"
VAE = "sd-vae/diffusion_pytorch_model.bin"
WHISPER = "whisper/pytorch_model.bin"


class Code:
    """Runs a command when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.witness}",)


def refusal(models: Path, tmp_path: Path) -> str:
    """The one line that a conversion ends with; nothing is left behind."""
    with pytest.raises(WeightsError) as raised:
        convert(models, tmp_path / "weights", SMALL)
    assert not (tmp_path / "weights").exists()
    assert not list(tmp_path.glob(".weights*"))
    line = str(raised.value)
    assert "\n" not in line
    return line


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    tensors = torch.load(path, weights_only=True)
    change(tensors)
    torch.save(tensors, path)


@pytest.mark.parametrize(("name", "kept"), [(UNET, 0.999), (UNET, 0.001), (VAE, 0.5), (WHISPER, 0.9)])
def test_a_truncated_file(models: Path, tmp_path: Path, name: str, kept: float) -> None:
    path = models / name
    os.truncate(path, int(path.stat().st_size * kept))
    line = refusal(models, tmp_path)
    assert line.startswith(f"{path}: cut short at {path.stat().st_size} bytes")
    assert "python -m inference.fetch_weights" in line


def test_a_truncated_safetensors_file(networks: Networks, tmp_path: Path) -> None:
    layout = Layout(vae_file="diffusion_pytorch_model.safetensors")
    models = write_published(tmp_path / "models", layout=layout, networks=networks)
    path = models / "sd-vae" / layout.vae_file
    os.truncate(path, path.stat().st_size - 1)
    assert refusal(models, tmp_path).startswith(f"{path}: not a whole safetensors file, cut short or damaged")


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        (UNET, lambda t: t.pop("conv_in.weight"), r"tensor conv_in.weight is missing (1 in all)"),
        (UNET, lambda t: t.update(extra=torch.zeros(1)), "tensor extra is not part of this architecture (1 in all)"),
        (
            UNET,
            lambda t: t.update({"conv_in.weight": torch.zeros(16, 4, 3, 3)}),
            "tensor conv_in.weight is [16, 4, 3, 3], the architecture asks for [16, 8, 3, 3]",
        ),
        (
            VAE,
            lambda t: t.update({"encoder.mid_block.attentions.0.to_q.bias": torch.zeros(32)}),
            "tensor encoder.mid_block.attentions.0.to_q.bias is there twice",
        ),
        (
            VAE,
            lambda t: t.update({"encoder.mid_block.attentions.0.query.weight": torch.zeros(32, 32, 1, 1)}),
            "attentions.0.to_q.weight is [32, 32, 1, 1], the architecture asks for [32, 32]",
        ),
        (WHISPER, lambda t: t.update({"model.other": torch.zeros(1)}), "tensor model.other is not part of"),
        (WHISPER, lambda t: t.pop("model.encoder.layers.3.fc2.bias"), "tensor layers.3.fc2.bias is missing"),
        (UNET, lambda t: t.update(step=7), "entry 'step' is a int, not a tensor"),
        (
            UNET,
            lambda t: t.update({"conv_in.bias": torch.zeros(16, dtype=torch.int64)}),
            "tensor conv_in.bias is a torch.strided one of torch.int64 on cpu, not a dense one of fp32, fp16 or bf16",
        ),
        (
            UNET,
            lambda t: t.update({"conv_in.bias": torch.zeros(16).to_sparse()}),
            "tensor conv_in.bias is a torch.sparse_coo one",
        ),
        (
            UNET,
            lambda t: t["conv_in.bias"].fill_(float("nan")),
            "tensor conv_in.bias has values that are not finite; the file is damaged",
        ),
    ],
)
def test_a_wrong_tensor(
    models: Path, tmp_path: Path, name: str, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    edit(models / name, change)
    line = refusal(models, tmp_path)
    assert line.startswith(f"{models / name}: ")
    assert told in line


def test_values_beyond_half_precision_are_told_when_half_is_asked_for(models: Path, tmp_path: Path) -> None:
    edit(models / UNET, lambda t: t["conv_in.bias"].fill_(1e6))
    with pytest.raises(WeightsError, match=r"conv_in.bias has values .* not finite as fp16; convert without --half"):
        convert(models, tmp_path / "weights", SMALL, half=True)
    convert(models, tmp_path / "weights", SMALL)


def test_tensors_within_another_table(models: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": torch.load(models / UNET, weights_only=True)}, models / UNET)
    assert "entry 'state_dict' is a OrderedDict, not a tensor" in refusal(models, tmp_path)


def test_no_table_at_all(models: Path, tmp_path: Path) -> None:
    torch.save(torch.zeros(3), models / UNET)
    assert "holds a Tensor, not a table of tensors" in refusal(models, tmp_path)


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.safetensors", "tiny.pt"])
def test_tiny_en_by_its_words(networks: Networks, tmp_path: Path, file: Any) -> None:
    models = write_published(
        tmp_path / "models", layout=Layout(whisper_file=file, vocabulary=51_864), networks=networks
    )
    if file != "tiny.pt":
        path = models / "whisper" / "config.json"
        assert refusal(models, tmp_path).startswith(f"{path}: this is tiny.en, with 51864 words")
        path.write_text(path.read_text().replace("51864", "51865"))  # the weights tell it too
    line = refusal(models, tmp_path)
    assert line.startswith(f"{models / 'whisper' / file}: this is tiny.en, with 51864 words")
    assert "fetch it with" in line


def test_an_archive_with_code_in_it(models: Path, tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    tensors: dict[str, object] = dict(torch.load(models / UNET, weights_only=True))
    torch.save(tensors | {"conv_in.bias": Code(witness)}, models / UNET)
    line = refusal(models, tmp_path)
    assert line.startswith(f"{models / UNET}: holds posix.system beside tensors, which could run code; not loaded")
    assert not witness.exists()


def test_a_bare_pickle(models: Path, tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    (models / VAE).write_bytes(pickle.dumps(Code(witness)))
    line = refusal(models, tmp_path)
    assert line.startswith(f"{models / VAE}: not a torch archive; a bare pickle could run code and is never loaded")
    assert not witness.exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3400074924\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html><title>404</title></html>", "a page of text, not weights"),
        (b'\n{"error": "Repository not found"}', "a page of text, not weights"),
        (b"", "empty"),
        (b"PK\x05\x06" + bytes(18), "not a torch archive"),
        (b"PK\x03\x04 no archive", "cut short at 15 bytes"),
    ],
)
@pytest.mark.parametrize("name", [UNET, WHISPER])
def test_what_downloads_leave_in_the_place_of_weights(
    models: Path, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (models / name).write_bytes(content)
    line = refusal(models, tmp_path)
    assert line.startswith(f"{models / name}: {told}")
    assert "python -m inference.fetch_weights" in line


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("musetalkV15/musetalk.json", "cross_attention_dim", 768),
        ("musetalkV15/musetalk.json", "in_channels", 4),
        ("sd-vae/config.json", "latent_channels", 16),
        ("sd-vae/config.json", "scaling_factor", 0.13025),
        ("whisper/config.json", "d_model", 512),
    ],
)
def test_a_description_of_another_model(models: Path, tmp_path: Path, name: str, field: str, value: object) -> None:
    values = json.loads((models / name).read_text())
    (models / name).write_text(json.dumps(values | {field: value}))
    assert refusal(models, tmp_path).startswith(f"{models / name}: {field} is {value!r}, MuseTalk has ")


def test_a_description_that_is_none(models: Path, tmp_path: Path) -> None:
    path = models / "musetalkV15" / "musetalk.json"
    path.write_text("version https://git-lfs.github.com/spec/v1")
    assert refusal(models, tmp_path).startswith(f"{path}: not JSON")
    path.write_text("[]")
    assert refusal(models, tmp_path).startswith(f"{path}: not a table of settings")
    path.unlink()
    assert refusal(models, tmp_path).startswith(f"{path}: cannot be read (No such file or directory)")


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("musetalkV15", "musetalkV15/unet.pth is missing"),
        ("sd-vae", "one of sd-vae/diffusion_pytorch_model.safetensors, sd-vae/diffusion_pytorch_model.bin, sd-vae-ft"),
        ("whisper", "one of whisper/model.safetensors, whisper/pytorch_model.bin, whisper/tiny.pt is missing"),
    ],
)
def test_a_folder_that_is_missing(models: Path, tmp_path: Path, folder: str, told: str) -> None:
    (models / folder).rename(models / "elsewhere")
    assert refusal(models, tmp_path).startswith(f"{models}: {told}")


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    assert refusal(tmp_path / "models", tmp_path) == f"{tmp_path}/models: no such folder; name MuseTalk's folder models"


def test_weights_of_another_size(models: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"musetalk.json: block_out_channels is \[16, .*MuseTalk has \[320, 640"):
        convert(models, tmp_path / "weights", MUSETALK_V15)
