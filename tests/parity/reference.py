"""What MuseTalk computes, composed plainly of diffusers, transformers, Pillow and OpenCV from its published files.

Pictures are BGR, as OpenCV reads them. Quirks that the engine mends are mended here too: latents are the mode of the
encoder's distribution, a window always begins four features before its frame, frame rates are fractions, the last
frame is made.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self, cast

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

RATE_HZ = 16_000
PIECE = 30 * RATE_HZ
"""Whisper's samples: upstream encodes a clip in pieces of 30 s."""
FEATURES_PER_S = 50
WINDOW, LEFT = 10, 4
LATENT_SCALE = 0.18215

Picture = NDArray[np.uint8]
Sound = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reference:
    """The three networks."""

    unet: Any
    vae: Any
    encoder: Any

    @classmethod
    def load(cls, models: Path, unet: str = "musetalkV15/unet.pth") -> Self:
        """From the folder ``models`` of a MuseTalk checkout."""
        path = models / unet
        unet_class, vae_class = cast(Any, UNet2DConditionModel), cast(Any, AutoencoderKL)  # untyped in diffusers
        networks = unet_class.from_config(json.loads((path.parent / "musetalk.json").read_text()))
        networks.load_state_dict(torch.load(path, weights_only=True))
        vae = vae_class.from_pretrained(models / "sd-vae", use_safetensors=False, low_cpu_mem_usage=False)
        whisper = torch.load(models / "whisper" / "pytorch_model.bin", weights_only=True)
        config = json.loads((models / "whisper" / "config.json").read_text())
        return cls(networks.eval(), vae.eval(), whisper_encoder(config, whisper, "model.encoder."))

    def features(self, sound: Sound) -> Tensor:
        """Whisper's features [T, 5, C] of a clip (float, -1 to 1), 50 a second."""
        pieces = [sound[start : start + PIECE] for start in range(0, len(sound), PIECE)]
        with torch.inference_mode():
            encoded = [self.encoder(log_mel(piece), output_hidden_states=True).hidden_states for piece in pieces]
        features = torch.cat([torch.stack(states, dim=2)[0] for states in encoded])  # [1500 pieces, 5, C]
        return features[: len(sound) * FEATURES_PER_S // RATE_HZ]

    def latents(self, face: Picture) -> Tensor:
        """[1, 8, 32, 32] of a face crop [256, 256, 3]."""
        with torch.inference_mode():
            parts = [self.vae.encode(normalised(face, masked)).latent_dist.mode() for masked in (True, False)]
        return torch.cat(parts, dim=1) * LATENT_SCALE

    def denoise(self, latents: Tensor, windows: Tensor) -> Tensor:
        """[B, 8, 32, 32] and windows [B, 50, C] without positions to [B, 4, 32, 32]."""
        tokens = windows + positions(windows.shape[2])
        with torch.inference_mode():
            result: Tensor = self.unet(latents, torch.tensor([0]), encoder_hidden_states=tokens).sample
        return result

    def decode(self, denoised: Tensor) -> Picture:
        """Pictures [B, 256, 256, 3]."""
        with torch.inference_mode():
            return pixels(self.vae.decode(denoised / LATENT_SCALE).sample)

    def mouths(self, sound: Sound, face: Picture, fps: Fraction) -> Picture:
        """A clip's face crops [frames, 256, 256, 3], all of one face."""
        rows = windows(self.features(sound), frame_count(len(sound), fps), fps)
        latents = self.latents(face)
        return np.concatenate([self.decode(self.denoise(latents, row[None])) for row in rows])


def whisper_encoder(config: Mapping[str, Any], tensors: Mapping[str, Tensor], prefix: str = "") -> nn.Module:
    """transformers' encoder with the tensors of these names."""
    encoder = cast(nn.Module, WhisperEncoder(WhisperConfig(**config)))
    names = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    encoder.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in names.items()})
    return encoder.eval()


def log_mel(piece: Sound) -> Tensor:
    """[1, 80, 3000] of at most 30 s."""
    extractor = WhisperFeatureExtractor()  # type: ignore[no-untyped-call]  # untyped in transformers
    mel: Tensor = extractor(piece, sampling_rate=RATE_HZ, return_tensors="pt")["input_features"]
    return mel


def frame_count(samples: int, fps: Fraction) -> int:
    """How many whole frames a clip lasts."""
    return math.floor(samples * fps / RATE_HZ)


def windows(features: Tensor, frames: int, fps: Fraction, left: int = LEFT) -> Tensor:
    """[frames, 50, C]: ten features from ``left`` before each frame on, zeros outside the clip, time-major."""
    nothing = torch.zeros(WINDOW, *features.shape[1:])
    padded = torch.cat([nothing[:left], features, nothing])
    firsts = [math.floor(frame * FEATURES_PER_S / fps) for frame in range(frames)]
    return torch.stack([padded[first : first + WINDOW] for first in firsts]).flatten(1, 2)


def positions(width: int) -> Tensor:
    """[50, C]: sine on even channels, cosine on odd ones, base 10,000."""
    table = np.zeros((50, width))
    for channel in range(0, width, 2):
        angle = np.arange(50) / 10_000 ** (channel / width)
        table[:, channel], table[:, channel + 1] = np.sin(angle), np.cos(angle)
    return torch.from_numpy(table).float()


def normalised(face: Picture, masked: bool) -> Tensor:
    """[1, 3, 256, 256] RGB in -1 to 1 of a crop [256, 256, 3]; masked: the lower half is black."""
    rgb = cv2.cvtColor(face, cv2.COLOR_BGR2RGB).astype(np.float32) / 255
    if masked:
        rgb[128:] = 0
    return torch.from_numpy(rgb.transpose(2, 0, 1)[None].copy()).sub(0.5).div(0.5)


def pixels(decoded: Tensor) -> Picture:
    """[B, 3, H, W] in -1 to 1 to BGR [B, H, W, 3], rounded half to even."""
    rgb = (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().numpy()
    return np.ascontiguousarray((rgb * 255).round().astype(np.uint8)[..., ::-1])


def resized(picture: Picture, width: int, height: int, interpolation: int = cv2.INTER_LINEAR) -> Picture:
    """The picture [H, W, 3] as [height, width, 3]."""
    return np.asarray(cv2.resize(picture, (width, height), interpolation=interpolation), np.uint8)


def swapped(picture: Picture) -> Picture:
    """BGR to RGB, or back."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def paste(picture: Picture, mouth: Picture, box: Sequence[int], mask: Picture) -> Picture:
    """The picture [H, W, 3] with the mouth resized into the box and blended in under the mask (of the box's size)."""
    x1, y1, x2, y2 = box
    under = Image.fromarray(picture)
    under.paste(Image.fromarray(resized(mouth, x2 - x1, y2 - y1)), (x1, y1), Image.fromarray(mask))
    return np.asarray(under)
