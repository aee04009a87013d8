"""The networks have the tensors of the published ones, and a model's file says of which sizes they are."""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import nn

from inference.config import MUSETALK_V10, MUSETALK_V15, NANO, ModelConfig
from inference.networks import build_unet, build_vae
from inference.weights import NANO_DIR, build_taesd
from inference.whisper_encoder import WhisperEncoder
from tests.inference_data import SMALL


def counts(network: nn.Module) -> tuple[int, int]:
    """Tensors and parameters."""
    tensors = network.state_dict().values()
    return len(tensors), sum(tensor.numel() for tensor in tensors)


def test_at_full_size_the_networks_have_the_published_tensors_and_parameters() -> None:
    with torch.device("meta"):
        unet, vae = cast(nn.Module, build_unet(MUSETALK_V15)), cast(nn.Module, build_vae(MUSETALK_V15))
        assert counts(unet) == (686, 849_947_844)
        assert counts(vae) == (248, 83_653_863)
        assert counts(WhisperEncoder(MUSETALK_V15.whisper)) == (67, 8_208_384)
        assert counts(build_taesd()) == (67, 1_222_531)
    shapes = {name: tuple(tensor.shape) for name, tensor in unet.state_dict().items()}
    assert shapes["conv_in.weight"] == (320, 8, 3, 3)
    assert shapes["conv_out.weight"] == (4, 320, 3, 3)
    assert shapes["down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"] == (320, 384)
    assert shapes["down_blocks.0.attentions.0.proj_in.weight"] == (320, 320, 1, 1)


def test_the_small_model_of_the_tests_has_the_published_tensors_with_other_shapes() -> None:
    with torch.device("meta"):
        for build in (build_unet, build_vae):
            small, full = cast(nn.Module, build(SMALL)), cast(nn.Module, build(MUSETALK_V15))
            assert list(small.state_dict()) == list(full.state_dict())
            assert counts(small)[1] < 0.01 * counts(full)[1]


def test_attention_has_eight_heads_at_every_level() -> None:
    with torch.device("meta"):
        unet = cast(nn.Module, build_unet(MUSETALK_V15))
    heads = {module.heads for name, module in unet.named_modules() if name.endswith(("attn1", "attn2"))}
    assert heads == {8}


def test_the_two_versions_differ_in_name_alone() -> None:
    assert replace(MUSETALK_V10, tier=MUSETALK_V15.tier, description=MUSETALK_V15.description) == MUSETALK_V15


@pytest.mark.parametrize("config", [MUSETALK_V15, MUSETALK_V10, NANO])
def test_a_configuration_survives_its_file(config: ModelConfig, tmp_path: Path) -> None:
    config.save(tmp_path)
    assert ModelConfig.load(tmp_path) == config


def test_a_file_that_tells_nothing_of_scale_and_positions_is_one_of_nano() -> None:
    values = json.loads((NANO_DIR / "config.json").read_text())
    for later in ("latent_scale", "normalised_audio", "positions"):
        values.pop(later, None)
    config = ModelConfig.load(NANO_DIR)
    assert (config.latent_scale, config.normalised_audio, config.positions) == (1.0, True, "span")
    assert replace(config, training="") == NANO


def test_positions_of_an_unknown_kind_are_refused(tmp_path: Path) -> None:
    NANO.save(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"span"', '"relative"'))
    with pytest.raises(ValueError, match=r"config.json: .*positions is 'relative', not one of span, true, padded"):
        ModelConfig.load(tmp_path)
