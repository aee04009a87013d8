"""The networks at work: latents and audio windows in, painted mouths out. Frames of any sessions share a batch."""

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inference.compositor import to_pixels
from inference.config import LATENT_CHANNELS, LATENT_SIZE, UNET_TIMESTEP, WINDOW_TOKENS
from inference.cuda_graphs import CudaGraphs, batches, filled_up
from inference.decoder import WHOLE_FACE, DecoderChoice, Region, build_decoder
from inference.speedups import channels_last, fold_timestep, merge_upsampling, use_onednn
from inference.weights import Model

Precision = Literal["fp32", "fp16", "bf16"]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class MouthPainter:
    """U-Net and decoder. Frames are independent of each other: a frame's pixels do not depend on what else is in its
    batch, and on the batch's size only by the rounding of sums.
    """

    def __init__(
        self,
        model: Model,
        device: torch.device,
        sizes: Sequence[int],
        precision: Precision = "fp32",
        decoder: DecoderChoice = "own",
    ) -> None:
        """``sizes``: of batches, ascending. The model's networks are taken over: rewritten in place, and converted."""
        self._device, self._sizes, self._dtype = device, tuple(sizes), DTYPES[precision]
        fold_timestep(model.unet)
        merge_upsampling(model.unet)
        self._decoder = build_decoder(model, decoder)
        self._unet = self._adapted(model.unet)
        self._adapted(self._decoder.network)
        self._width = model.config.whisper.width
        self._timestep = torch.tensor([UNET_TIMESTEP], device=device)
        self._graphs = CudaGraphs(self._whole_faces, device) if device.type == "cuda" else None

    def paint(self, latents: Tensor, tokens: Tensor, regions: Sequence[Region]) -> list[NDArray[np.uint8]]:
        """Each frame's region of the face crop, uint8 [h, w, 3].

        Args:
            latents: [R, 8, 32, 32], masked, then reference latents.
            tokens: [R, 50, C], the audio windows.
            regions: what to paint of each frame.
        """
        painted: list[NDArray[np.uint8]] = []
        for first, rows, size in batches(len(regions), self._sizes):
            part = slice(first, first + rows)
            batch = filled_up(latents[part], size), filled_up(tokens[part], size)
            if self._graphs is not None:
                faces = self._graphs.run(*batch)  # [size, 256, 256, 3]
                shown = zip(faces, regions[part], strict=False)  # without the rows that fill up
                painted.extend(face[region.slices(WHOLE_FACE)].copy() for face, region in shown)
            else:
                painted.extend(self._decode_each(self.denoise(*batch)[:rows], regions[part]))
        return painted

    def denoise(self, latents: Tensor, tokens: Tensor) -> Tensor:
        """One pass of the U-Net: [B, 8, 32, 32] and [B, 50, C] to [B, 4, 32, 32]."""
        latents = latents.to(self._device, self._dtype, memory_format=torch.channels_last)
        tokens = tokens.to(self._device, self._dtype)
        result: Tensor = self._unet(latents, self._timestep, encoder_hidden_states=tokens).sample
        return result

    def decode(self, denoised: Tensor, region: Region) -> NDArray[np.uint8]:
        """Pixels [B, h, w, 3] of one region of the faces, from latents [B, 4, 32, 32]."""
        pixels: NDArray[np.uint8] = self._pixels(denoised, region).cpu().numpy()
        return pixels

    def warm_up(self) -> None:
        """Run every batch size once, the largest first: its graph's memory holds those of the others."""
        for rows in reversed(self._sizes):
            latents = torch.zeros(rows, 2 * LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE, device=self._device)
            self.paint(latents, torch.zeros(rows, WINDOW_TOKENS, self._width, device=self._device), [WHOLE_FACE] * rows)

    def _decode_each(self, denoised: Tensor, regions: Sequence[Region]) -> list[NDArray[np.uint8]]:
        """Runs of equal regions decoded together."""
        painted: list[NDArray[np.uint8]] = []
        for region, members in groupby(regions):
            count = len(list(members))
            painted.extend(self.decode(denoised[len(painted) : len(painted) + count], region))
        return painted

    def _whole_faces(self, latents: Tensor, tokens: Tensor) -> Tensor:
        """The pass that is captured: pixels [B, 256, 256, 3], still on the device."""
        return self._pixels(self.denoise(latents, tokens), WHOLE_FACE)

    def _pixels(self, denoised: Tensor, region: Region) -> Tensor:
        return to_pixels(self._decoder.decode(denoised, region).float())

    def _adapted(self, network: nn.Module) -> nn.Module:
        """The network in this device's fastest form."""
        nn.Module.to(network, self._dtype)  # not diffusers' own, which warns of a list of exceptions that is empty here
        network = channels_last(network)
        if self._device.type == "cpu" and self._dtype is torch.float32:
            use_onednn(network)
        return network
