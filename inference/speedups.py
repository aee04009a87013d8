"""Rewrites of diffusers' networks that leave their results as they are, up to the rounding of sums.

Each works in place, on networks in fp32 and in evaluation mode, and does nothing where it was applied before. The
networks stay instances of diffusers' own classes with their own forward passes. ``python -m benchmarks.engine --steps``
measures what each gains.
"""

from typing import TypeVar, cast

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn import functional

from inference.config import UNET_TIMESTEP

ModuleType = TypeVar("ModuleType", bound=nn.Module)

ONEDNN_MIN_WEIGHTS = 1 << 13  # of a linear layer; below, the conversion of its input costs what the faster sum gains


class NoTime(nn.Module):
    """In the place of a time embedding whose effect the networks' biases hold."""

    def forward(self, sample: Tensor, condition: Tensor | None = None) -> None:
        """None, which diffusers' blocks take for "no time"."""


class OneDnnLinear(nn.Module):
    """A linear layer run by oneDNN, on a CPU and in fp32. torch gives it linear layers in its own layout alone."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """``weight`` [C', C] and ``bias`` [C'] of the layer to be replaced."""
        super().__init__()
        self.weight = weight.detach().contiguous().to_mkldnn()
        self.bias = None if bias is None else bias.detach().to_mkldnn()

    def forward(self, x: Tensor) -> Tensor:
        """[..., C] to [..., C']."""
        return functional.linear(x.contiguous().to_mkldnn(), self.weight, self.bias).to_dense()


class OneDnnPointwise(nn.Module):
    """A 1x1 convolution as such a linear layer over the pixels."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.linear = OneDnnLinear(convolution.weight[:, :, 0, 0], convolution.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C', H, W], channels-last."""
        pixels: Tensor = self.linear(x.permute(0, 2, 3, 1))  # [B, H, W, C']
        return pixels.permute(0, 3, 1, 2)


@torch.no_grad()
def fold_timestep(unet: nn.Module) -> None:
    """Put the time embedding, a constant at MuseTalk's timestep 0, into the biases of the ResNets' convolutions.

    The time MLP and every ResNet's projection of it need not run, nor be read from memory (25 of 850 M parameters).
    """
    assert isinstance(unet, UNet2DConditionModel)
    if isinstance(unet.time_embedding, NoTime):
        return
    timestep = torch.tensor([UNET_TIMESTEP], device=next(unet.parameters()).device)
    time = unet.get_submodule("time_embedding")(unet.get_submodule("time_proj")(timestep))  # [1, T]
    for block in _modules(unet, ResnetBlock2D):
        projection = block.time_emb_proj
        assert projection is not None, "every ResNet of this U-Net has one"
        assert block.conv1.bias is not None
        block.conv1.bias = _constant(block.conv1.bias + projection(block.nonlinearity(time))[0])
        block.register_module("time_emb_proj", None)
    unet.time_embedding = NoTime()


def merge_upsampling(network: nn.Module) -> None:
    """Make one transposed convolution of each nearest-neighbour upsampling and the convolution behind it.

    It sums the same products, but those of equal inputs only once: 4 instead of 9 products a channel and pixel, 15 % of
    all work of the published decoder, and no upsampled copy is written.
    """
    for upsampler in _modules(network, Upsample2D):
        if upsampler.use_conv and not upsampler.use_conv_transpose:
            upsampler.register_module("conv", transposed(cast(nn.Conv2d, upsampler.conv)))
            upsampler.use_conv_transpose = True


@torch.no_grad()
def transposed(convolution: nn.Conv2d) -> nn.ConvTranspose2d:
    """The 3x3 convolution (padding 1) of a picture doubled by nearest neighbours, from the picture itself.

    Input pixel i lies at 2i and 2i + 1 of the doubled picture, so it meets the kernel twice, one place apart: the
    4x4 kernel is the 3x3 one added up over those places.
    """
    doubled = torch.zeros(convolution.out_channels, convolution.in_channels, 4, 4, device=convolution.weight.device)
    for row in (0, 1):
        for column in (0, 1):
            doubled[:, :, row : row + 3, column : column + 3] += convolution.weight
    result = nn.ConvTranspose2d(
        convolution.in_channels, convolution.out_channels, 4, stride=2, padding=1, device="meta", bias=False
    )
    result.weight = _constant(doubled.flip(2, 3).transpose(0, 1).contiguous())  # transposed, it runs backwards
    if convolution.bias is not None:
        result.bias = _constant(convolution.bias)
    return result.eval()


def use_onednn(network: nn.Module) -> None:
    """Let oneDNN run the linear layers and the 1x1 convolutions of a network on a CPU, fp32.

    torch gives these to MKL, which on AMD's processors reaches less than half of what oneDNN does.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and child.weight.numel() >= ONEDNN_MIN_WEIGHTS:
                parent.register_module(name, OneDnnLinear(child.weight, child.bias))
            elif isinstance(child, nn.Conv2d) and _is_pointwise(child):
                parent.register_module(name, OneDnnPointwise(child))


def channels_last(network: nn.Module) -> nn.Module:
    """Convolutions are 1.2 to 1.4 times as fast this way, and what is decoded is already in the order of pixels."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # not in its stub


def _is_pointwise(convolution: nn.Conv2d) -> bool:
    plain = convolution.kernel_size == (1, 1) and convolution.stride == (1, 1) and convolution.groups == 1
    return plain and convolution.weight.numel() >= ONEDNN_MIN_WEIGHTS


def _modules(network: nn.Module, kind: type[ModuleType]) -> list[ModuleType]:
    return [module for module in network.modules() if isinstance(module, kind)]


def _constant(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach(), requires_grad=False)
