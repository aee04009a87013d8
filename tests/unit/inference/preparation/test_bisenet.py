"""The face parser of MuseTalk's own masks, with random weights in the published checkpoint's layout."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.preparation.bisenet import BiSeNet, BiSeNetParser
from inference.weights import WeightsError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random values under the names of 79999_iter.pth, its training heads among them."""
    torch.manual_seed(0)
    network = BiSeNet()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features) * 0.1
            module.running_var = torch.rand(module.num_features) + 0.5
    tensors = network.state_dict()
    for head in ("conv_out16", "conv_out32"):
        tensors[f"{head}.conv.conv.weight"] = torch.zeros(64, 128, 3, 3)
        tensors[f"{head}.conv_out.weight"] = torch.zeros(19, 64, 1, 1)
    path = tmp_path_factory.mktemp("parser") / "79999_iter.pth"
    torch.save(tensors, path)
    return path


def test_names_and_shapes_are_the_published_ones() -> None:
    tensors = BiSeNet().state_dict()
    for name, shape in {
        "cp.resnet.conv1.weight": (64, 3, 7, 7),
        "cp.resnet.layer1.0.bn2.running_var": (64,),
        "cp.resnet.layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "cp.resnet.layer4.1.conv2.weight": (512, 512, 3, 3),
        "cp.arm16.conv.conv.weight": (128, 256, 3, 3),
        "cp.arm32.conv_atten.weight": (128, 128, 1, 1),
        "cp.arm32.bn_atten.weight": (128,),
        "cp.conv_head16.conv.weight": (128, 128, 3, 3),
        "cp.conv_avg.conv.weight": (128, 512, 1, 1),
        "ffm.convblk.conv.weight": (256, 256, 1, 1),
        "ffm.conv1.weight": (64, 256, 1, 1),
        "ffm.conv2.weight": (256, 64, 1, 1),
        "conv_out.conv.conv.weight": (256, 256, 3, 3),
        "conv_out.conv_out.weight": (19, 256, 1, 1),
    }.items():
        assert tuple(tensors[name].shape) == shape
    assert "cp.resnet.layer1.0.downsample.0.weight" not in tensors


def test_labels_are_the_best_class_of_the_normalised_picture(checkpoint: Path) -> None:
    crop = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    labels = BiSeNetParser(checkpoint, CPU).labels(crop, None)
    assert labels.shape == (512, 512)
    assert labels.dtype == np.uint8
    assert len(np.unique(labels)) > 1
    network = BiSeNet().eval()
    tensors = torch.load(checkpoint)
    network.load_state_dict({name: tensors[name] for name in network.state_dict()})
    pixels = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255
    pixels -= torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    pixels /= torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.inference_mode():
        coarse = network.conv_out(network.ffm(*network.cp(pixels)))
        scores = functional.interpolate(coarse, (512, 512), mode="bilinear", align_corners=True)
    assert coarse.shape == (1, 19, 64, 64)
    assert (labels == scores[0].argmax(0).numpy()).mean() > 0.999


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


def test_another_file_is_refused_in_one_line(checkpoint: Path, tmp_path: Path) -> None:
    tensors: dict[str, Tensor] = torch.load(checkpoint)
    first = {name: value for name, value in tensors.items() if name != "ffm.conv1.weight"}
    wrong = tensors | {"ffm.conv1.weight": torch.zeros(1)}
    for content, message in (
        (first, "tensor ffm.conv1.weight is missing"),
        (wrong, r"tensor ffm.conv1.weight is \[1\]"),
        (tensors | {"sp.conv.weight": torch.zeros(1)}, "tensor sp.conv.weight is not part"),
        ({"x": Evil()}, "refused, it is damaged or holds more than tensors"),
        ([1], "not a file of named tensors"),
    ):
        torch.save(content, tmp_path / "parser.pth")
        with pytest.raises(WeightsError, match=message) as raised:
            BiSeNetParser(tmp_path / "parser.pth", CPU)
        assert "\n" not in str(raised.value)
    with pytest.raises(WeightsError, match="cannot be read"):
        BiSeNetParser(tmp_path / "nowhere.pth", CPU)
