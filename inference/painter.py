"""The networks at work: latents and audio windows in, painted mouths out. Frames of any sessions share a batch."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inference.compositor import to_pixels
from inference.config import LATENT_CHANNELS, LATENT_SIZE, UNET_TIMESTEP, WINDOW_TOKENS
from inference.decoder import WHOLE_FACE, Region, RegionDecoder
from inference.weights import Model


class MouthPainter:
    """U-Net and decoder. Frames are independent of each other, so a frame's pixels do not depend on its batch."""

    def __init__(self, model: Model, device: torch.device, max_batch: int) -> None:
        """``max_batch``: frames in one pass of the networks."""
        self._unet = _channels_last(model.unet)
        self._decoder = RegionDecoder(_channels_last(model.vae))
        self._width = model.config.whisper.width
        self._device = device
        self._max_batch = max_batch
        self._timestep = torch.tensor([UNET_TIMESTEP], device=device)

    def paint(self, latents: Tensor, tokens: Tensor, regions: Sequence[Region]) -> list[NDArray[np.uint8]]:
        """Each frame's region of the face crop, uint8 [h, w, 3].

        Args:
            latents: [R, 8, 32, 32], masked, then reference latents.
            tokens: [R, 50, C], the audio windows.
            regions: what to paint of each frame.
        """
        painted: list[NDArray[np.uint8]] = []
        for first in range(0, len(regions), self._max_batch):
            batch = slice(first, first + self._max_batch)
            denoised = self.denoise(latents[batch], tokens[batch])  # [B, 4, 32, 32]
            row = 0
            for region, members in groupby(regions[batch]):
                count = len(list(members))
                painted.extend(self.decode(denoised[row : row + count], region))
                row += count
        return painted

    def denoise(self, latents: Tensor, tokens: Tensor) -> Tensor:
        """One pass of the U-Net: [B, 8, 32, 32] and [B, 50, C] to [B, 4, 32, 32]."""
        latents = latents.to(self._device, memory_format=torch.channels_last)
        result: Tensor = self._unet(latents, self._timestep, encoder_hidden_states=tokens).sample
        return result

    def decode(self, denoised: Tensor, region: Region) -> NDArray[np.uint8]:
        """Pixels [B, h, w, 3] of one region of the faces, from latents [B, 4, 32, 32]."""
        pixels: NDArray[np.uint8] = to_pixels(self._decoder.decode(denoised, region)).cpu().numpy()
        return pixels

    def warm_up(self) -> None:
        """Run every batch size once: torch prepares each convolution at the first call with a shape."""
        for rows in range(1, self._max_batch + 1):
            latents = torch.zeros(rows, 2 * LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE, device=self._device)
            self.paint(latents, torch.zeros(rows, WINDOW_TOKENS, self._width, device=self._device), [WHOLE_FACE] * rows)


def _channels_last(network: nn.Module) -> nn.Module:
    """Convolutions are 1.4 times as fast on a CPU this way, and what is decoded is already in the order of pixels."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # not in its stub
