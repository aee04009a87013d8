"""Face crops and their latents, as the U-Net takes them: the face with its lower half hidden, then the face."""

from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inference.avatar_bundle import Box, Image
from inference.config import FACE_SIZE, HIDDEN_ROW, KlSize, ModelConfig


class Autoencoder(Protocol):
    """A model's autoencoder, as far as encoding needs it."""

    @property
    def config(self) -> ModelConfig:
        """Its sizes and the scale of its latents."""

    @property
    def vae(self) -> nn.Module:
        """diffusers' AutoencoderKL or AutoencoderTiny."""


def crop_face(image: Image, box: Box) -> Image:
    """The face crop [256, 256, 3]: the box resized with OpenCV's LANCZOS4, without antialiasing, as upstream does."""
    x1, y1, x2, y2 = box
    crop = cv2.resize(image[y1:y2, x1:x2], (FACE_SIZE, FACE_SIZE), interpolation=cv2.INTER_LANCZOS4)
    return np.asarray(crop, np.uint8)


def to_input(faces: NDArray[np.uint8]) -> Tensor:
    """Crops [B, 256, 256, 3] RGB as the autoencoder takes them, [B, 3, 256, 256] in -1 to 1."""
    # Contiguous planes: torch's norms of groups lose two digits on channels-last pictures with a black half.
    planes = np.ascontiguousarray(faces.transpose(0, 3, 1, 2))  # [B, 3, 256, 256]
    scaled = torch.from_numpy(planes).float() / 255
    return ((scaled - 0.5) / 0.5).contiguous()  # one layout: in another, sums round differently


def hide_lower_half(pixels: Tensor) -> Tensor:
    """A copy of [B, 3, 256, 256] whose lower half is exactly -1, black."""
    hidden = pixels.clone()
    hidden[:, :, HIDDEN_ROW:] = -1.0
    return hidden


@torch.inference_mode()
def encode_faces(model: Autoencoder, faces: NDArray[np.uint8]) -> Tensor:
    """Latents [B, 8, 32, 32] fp32, masked, then reference, of face crops [B, 256, 256, 3] RGB.

    The same crops give the same latents: the mode of the autoencoder's distribution, which MuseTalk was trained on;
    upstream's inference draws a sample. Each crop is encoded for itself, so its latents do not depend on its batch.
    """
    weight = next(model.vae.parameters())
    pixels = to_input(faces).to(weight.device, weight.dtype)
    hidden = hide_lower_half(pixels)
    rows = [
        torch.cat([_encode(model, hidden[row : row + 1]), _encode(model, pixels[row : row + 1])], dim=1)
        for row in range(len(faces))
    ]
    return torch.cat(rows).float().cpu()  # [B, 8, 32, 32]


def _encode(model: Autoencoder, pixels: Tensor) -> Tensor:
    """[1, 3, 256, 256] to [1, 4, 32, 32], scaled."""
    encoded = model.vae.encode(pixels)  # type: ignore[operator]  # diffusers' method, unknown to nn.Module
    latents: Tensor = encoded.latent_dist.mode() if isinstance(model.config.vae, KlSize) else encoded.latents
    return latents * model.config.latent_scale
