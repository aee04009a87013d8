"""The encoder half of a weights folder's autoencoder, which is all that preparation needs of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import torch
from torch import nn

from inference.config import ModelConfig
from inference.networks import build_vae
from inference.weights import VAE_FILE, WeightsError, file_sha256, load_tensors

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class FaceEncoder:
    """An autoencoder without its decoder, in evaluation mode; ``latents.encode_faces`` runs it."""

    config: ModelConfig
    vae: nn.Module
    vae_sha256: str  # of the autoencoder's file

    @classmethod
    def load(cls, folder: Path, device: torch.device, precision: str = "") -> Self:
        """Load it; ``precision`` empty: fp16 on CUDA, else fp32. Raises WeightsError."""
        name = precision or ("fp16" if device.type == "cuda" else "fp32")
        if name not in PRECISIONS:
            raise WeightsError(f"precision is {name!r}, not one of {', '.join(PRECISIONS)}")
        try:
            config = ModelConfig.load(folder)
        except ValueError as error:
            raise WeightsError(str(error)) from error
        with torch.device("meta"):  # no memory and no time for first values, which the file replaces
            vae = cast(nn.Module, build_vae(config))
        load_tensors(vae, folder / VAE_FILE, assign=True)
        for unused in ("decoder", "post_quant_conv"):
            if hasattr(vae, unused):
                vae.register_module(unused, nn.Identity())
        vae.requires_grad_(False).eval()
        nn.Module.to(
            vae, device, PRECISIONS[name]
        )  # diffusers' own warns of modules to be kept in fp32, of which none is
        return cls(config, vae, file_sha256(folder / VAE_FILE))
