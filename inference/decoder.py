"""Decoding a part of the face.

Only the pixels under the mouth mask are pasted back, so only they are decoded. The tiny decoder is convolutions,
nearest-neighbour upsampling and element-wise functions: what lies beyond its reach cannot change the result, so the
part equals the same part of the whole face.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from inference.config import FACE_SIZE


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


class RegionDecoder:
    """The tiny autoencoder's decoder, cut into its resolutions: 32, 64, 128 and 256 pixels."""

    def __init__(self, vae: nn.Module) -> None:
        """``vae`` is an ``AutoencoderTiny``."""
        self._stages: list[nn.Sequential] = []
        layers: list[nn.Module] = []
        for layer in cast(nn.Sequential, vae.get_submodule("decoder.layers")):
            if isinstance(layer, nn.Upsample):
                self._stages.append(nn.Sequential(*layers))
                layers = []
            layers.append(layer)
        self._stages.append(nn.Sequential(*layers))
        self._reaches = [_reach(stage) for stage in self._stages]

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
    return sum(module.kernel_size[0] // 2 for module in stage.modules() if isinstance(module, nn.Conv2d))
