"""Every rewrite of a network gives what diffusers' own, untouched module gives, to 1e-5."""

from collections.abc import Callable
from copy import deepcopy
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.config import NANO, ModelConfig
from inference.networks import build_unet, build_vae
from inference.speedups import channels_last, fold_timestep, merge_upsampling, transposed, use_onednn
from tests.inference_data import SMALL

CONFIGS = pytest.mark.parametrize("config", [SMALL, NANO], ids=["small", "nano"])
REWRITES: dict[str, Callable[[nn.Module], object]] = {
    "folded timestep": fold_timestep,
    "merged upsampling": merge_upsampling,
    "oneDNN": use_onednn,
    "channels last": channels_last,
}


def unet_of(config: ModelConfig) -> nn.Module:
    torch.manual_seed(3)
    return cast(nn.Module, build_unet(config)).requires_grad_(False).eval()


def denoised(unet: nn.Module, config: ModelConfig) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    latents = torch.randn(2, 8, 32, 32, generator=generator)
    tokens = torch.randn(2, 50, config.whisper.width, generator=generator)
    with torch.inference_mode():
        result: Tensor = unet(latents, torch.tensor([0]), encoder_hidden_states=tokens).sample
    return result


def largest_difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max())


@CONFIGS
@pytest.mark.parametrize("rewrite", REWRITES.values(), ids=list(REWRITES))
def test_a_rewritten_unet_gives_what_diffusers_gives(
    config: ModelConfig, rewrite: Callable[[nn.Module], object]
) -> None:
    unet = unet_of(config)
    expected = denoised(unet, config)
    rewrite(unet)
    assert largest_difference(denoised(unet, config), expected) <= 1e-5
    rewrite(unet)  # a second time changes nothing
    assert largest_difference(denoised(unet, config), expected) <= 1e-5


@CONFIGS
def test_all_rewrites_together_give_what_diffusers_gives(config: ModelConfig) -> None:
    unet = unet_of(config)
    expected = denoised(unet, config)
    for rewrite in REWRITES.values():
        rewrite(unet)
    assert largest_difference(denoised(unet, config), expected) <= 1e-5


@pytest.mark.parametrize("rewrite", REWRITES.values(), ids=list(REWRITES))
def test_a_rewritten_kl_decoder_gives_what_diffusers_gives(rewrite: Callable[[nn.Module], object]) -> None:
    if rewrite is fold_timestep:
        return  # an autoencoder has no timestep
    torch.manual_seed(3)
    decoder = cast(nn.Module, build_vae(SMALL)).get_submodule("decoder").requires_grad_(False).eval()
    latents = torch.randn(2, 4, 32, 32)
    with torch.inference_mode():
        expected = decoder(latents)
        rewrite(decoder)
        assert largest_difference(decoder(latents), expected) <= 1e-5


def test_the_folded_timestep_is_the_one_of_musetalk() -> None:
    """With another timestep the untouched network gives something else, so the fold is seen in its result."""
    unet = unet_of(SMALL)
    folded = deepcopy(unet)
    fold_timestep(folded)
    latents, tokens = torch.randn(1, 8, 32, 32), torch.randn(1, 50, SMALL.whisper.width)
    with torch.inference_mode():
        later = unet(latents, torch.tensor([500]), encoder_hidden_states=tokens).sample
        ours = folded(latents, torch.tensor([500]), encoder_hidden_states=tokens).sample
        theirs = unet(latents, torch.tensor([0]), encoder_hidden_states=tokens).sample
    assert largest_difference(ours, theirs) <= 1e-5
    assert largest_difference(ours, later) > 1e-3


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (16, 16)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_transposed_convolution_equals_upsampling_and_convolution(size: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(5)
    convolution = nn.Conv2d(6, 4, 3, padding=1, bias=bias)
    x = torch.randn(2, 6, *size)
    with torch.inference_mode():
        expected = convolution(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        assert largest_difference(transposed(convolution)(x), expected) <= 1e-5


def test_the_folded_network_has_fewer_parameters() -> None:
    unet = unet_of(SMALL)
    before = sum(each.numel() for each in unet.parameters())
    fold_timestep(unet)
    names = [name for name, _ in unet.named_parameters()]
    assert not [name for name in names if "time" in name]
    assert sum(each.numel() for each in unet.parameters()) < before
