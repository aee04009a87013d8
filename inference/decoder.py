"""Decoding a part of the face.

Only the pixels under the mouth mask are pasted back, so only they are asked for. The tiny decoder is convolutions,
nearest-neighbour upsampling and element-wise functions: what lies beyond its reach cannot change the result, so it
decodes the part alone, and that equals the same part of the whole face. The published decoder (KL) normalises over the
whole picture and has an attention that looks at all of it: it decodes whole faces, and the part is cut out.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn

from inference.config import FACE_SIZE, KlSize
from inference.speedups import merge_upsampling, transposed
from inference.weights import TAESD_FILE, Model, WeightsError

DecoderChoice = Literal["own", "taesd"]
"""The autoencoder's own decoder, or the tiny one that can stand in for the published one: 17.6 times less work, and
another picture."""


@dataclass(frozen=True, slots=True)
class Region:
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` (exclusive) of an image."""

    top: int
    bottom: int
    left: int
    right: int

    def widened(self, by: int, size: int) -> "Region":
        """Grown on each side, within an image of this size."""
        return Region(
            max(self.top - by, 0), min(self.bottom + by, size), max(self.left - by, 0), min(self.right + by, size)
        )

    def halved(self) -> "Region":
        """The same part of an image of half the size, rounded outwards."""
        return Region(self.top // 2, -(-self.bottom // 2), self.left // 2, -(-self.right // 2))

    def doubled(self) -> "Region":
        """The same part of an image of twice the size."""
        return Region(2 * self.top, 2 * self.bottom, 2 * self.left, 2 * self.right)

    def slices(self, shown: "Region") -> tuple[slice, slice]:
        """Rows and columns of this region in an array that shows only ``shown``."""
        rows = slice(self.top - shown.top, self.bottom - shown.top)
        return rows, slice(self.left - shown.left, self.right - shown.left)


WHOLE_FACE = Region(0, FACE_SIZE, 0, FACE_SIZE)


class FaceDecoder(Protocol):
    """From latents to pixels."""

    @property
    def network(self) -> nn.Module:
        """What runs, to be moved to a type and a memory format."""

    def decode(self, latents: Tensor, region: Region = WHOLE_FACE) -> Tensor:
        """RGB [B, 3, rows, columns] in -1 to 1 of that region of the face, from the U-Net's latents [B, 4, 32, 32]."""


def build_decoder(model: Model, choice: DecoderChoice) -> FaceDecoder:
    """The decoder of a model. It takes the network over and rewrites it; raises WeightsError where there is none."""
    own_is_tiny = not isinstance(model.config.vae, KlSize)
    if choice == "own":
        return RegionDecoder(model.vae) if own_is_tiny else KlDecoder(model.vae, model.config.latent_scale)
    if own_is_tiny:
        raise WeightsError(
            f"decoder: 'taesd' stands in for the published autoencoder; tier {model.config.tier} has a tiny one of its "
            "own; set decoder to own"
        )
    if model.taesd is None:
        raise WeightsError(
            f"decoder: 'taesd' needs {TAESD_FILE} in the weights folder; convert the weights again with taesd beside "
            "them, or set decoder to own"
        )
    return RegionDecoder(model.taesd)  # its latents are the scaled ones that the U-Net gives


class KlDecoder:
    """Stable Diffusion's decoder."""

    def __init__(self, vae: nn.Module, latent_scale: float) -> None:
        """``vae`` is an ``AutoencoderKL``; ``latent_scale`` is what its encoder's latents were multiplied by."""
        merge_upsampling(vae.get_submodule("decoder"))
        self.network = nn.Sequential(vae.get_submodule("post_quant_conv"), vae.get_submodule("decoder"))
        self._latent_scale = latent_scale

    def decode(self, latents: Tensor, region: Region = WHOLE_FACE) -> Tensor:
        """As ``FaceDecoder`` says; a region costs what the whole face does."""
        pixels: Tensor = self.network(latents / self._latent_scale)  # [B, 3, 256, 256]
        return pixels[(..., *region.slices(WHOLE_FACE))]


class RegionDecoder:
    """The tiny autoencoder's decoder, cut into its resolutions: 32, 64, 128 and 256 pixels."""

    def __init__(self, vae: nn.Module) -> None:
        """``vae`` is an ``AutoencoderTiny``."""
        stages: list[list[nn.Module]] = [[]]
        for layer in cast(nn.Sequential, vae.get_submodule("decoder.layers")):
            if isinstance(layer, nn.Upsample):
                stages.append([])
            elif len(stages) > 1 and not stages[-1]:  # the convolution behind an upsampling; both in one
                stages[-1].append(transposed(cast(nn.Conv2d, layer)))
            else:
                stages[-1].append(layer)
        self._stages = [nn.Sequential(*stage) for stage in stages]
        self._reaches = [_reach(stage) for stage in self._stages]
        self.network = nn.Sequential(*self._stages)

    def decode(self, latents: Tensor, region: Region = WHOLE_FACE) -> Tensor:
        """RGB [B, 3, rows, columns] in -1 to 1 of that region of the face, from latents [B, 4, 32, 32]."""
        needed, size = [region], FACE_SIZE
        for reach in reversed(self._reaches[1:]):
            needed.append(needed[-1].widened(reach, size).halved())
            size //= 2
        shown = Region(0, size, 0, size)
        x = torch.tanh(latents / 3) * 3  # the soft clamp of diffusers' DecoderTiny
        for stage, part in zip(self._stages, reversed(needed), strict=True):
            x = stage(x)  # [B, C, rows, columns] of ``shown``
            x = x[(..., *part.slices(shown))]
            shown = part.doubled()
        return x.mul(2).sub(1)


def _reach(stage: nn.Module) -> int:
    """How many pixels around an output pixel a stage's convolutions look at, in its own resolution."""
    convolutions = sum(module.kernel_size[0] // 2 for module in stage.modules() if isinstance(module, nn.Conv2d))
    return convolutions + sum(isinstance(module, nn.ConvTranspose2d) for module in stage.modules())
