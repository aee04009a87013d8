"""A weights folder: ``config.json`` and four safetensors files, names and shapes checked. Never pickle."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from inference.audio_features import AudioFeatures
from inference.config import ModelConfig
from inference.networks import build_unet, build_vae

NANO_DIR = Path(__file__).parent / "assets" / "nano"

UNET_FILE = "unet.safetensors"
VAE_FILE = "vae.safetensors"
WHISPER_FILE = "whisper.safetensors"
AUDIO_NORM_FILE = (
    "audio_norm.safetensors"  # mean and deviation of each Whisper state and channel over the training speech
)


class WeightsError(ValueError):
    """A weights file is missing, unreadable, or not of this architecture; the message names file and tensor."""


@dataclass(frozen=True, slots=True)
class Model:
    """The networks of one weights folder, in evaluation mode, fp32."""

    config: ModelConfig
    audio: AudioFeatures
    unet: nn.Module  # see networks.build_unet
    vae: nn.Module  # see networks.build_vae
    vae_sha256: str  # of the autoencoder's file: an avatar's latents belong to exactly one autoencoder

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Self:
        """Build the networks and load them; raises WeightsError."""
        try:
            config = ModelConfig.load(folder)
        except ValueError as error:
            raise WeightsError(str(error)) from error
        audio = AudioFeatures(config.whisper)
        unet, vae = _module(build_unet(config)), _module(build_vae(config))
        load_tensors(audio.encoder, folder / WHISPER_FILE)
        norm = read_tensors(folder / AUDIO_NORM_FILE, {"mean": audio.mean, "deviation": audio.deviation})
        audio.mean.copy_(norm["mean"])
        audio.deviation.copy_(norm["deviation"])
        load_tensors(unet, folder / UNET_FILE)
        load_tensors(vae, folder / VAE_FILE)
        for network in (audio, unet, vae):
            network.requires_grad_(False).eval().to(device)
        return cls(config, audio, unet, vae, file_sha256(folder / VAE_FILE))


def save_weights(
    folder: Path, config: ModelConfig, audio: AudioFeatures, unet: UNet2DConditionModel, vae: AutoencoderTiny
) -> None:
    """Write a weights folder, the networks in fp16: half the size, and an error below a pixel's step."""
    config.save(folder)
    save_tensors(folder / WHISPER_FILE, audio.encoder.state_dict(), torch.float16)
    save_tensors(folder / AUDIO_NORM_FILE, {"mean": audio.mean, "deviation": audio.deviation}, torch.float32)
    save_tensors(folder / UNET_FILE, _module(unet).state_dict(), torch.float16)
    save_tensors(folder / VAE_FILE, _module(vae).state_dict(), torch.float16)


def _module(network: UNet2DConditionModel | AutoencoderTiny) -> nn.Module:
    """diffusers' annotations hide that its models are modules."""
    return cast(nn.Module, network)


def load_tensors(network: nn.Module, path: Path) -> None:
    """Fill a network from a file that must hold exactly its tensors; raises WeightsError."""
    network.load_state_dict(read_tensors(path, network.state_dict()))


def read_tensors(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors as fp32, its names and shapes compared with the expected ones; raises WeightsError."""
    if not path.is_file():
        raise WeightsError(
            f"{path}: missing; a weights folder needs {WHISPER_FILE}, {AUDIO_NORM_FILE}, {UNET_FILE}, {VAE_FILE}"
        )
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a safetensors file ({error})") from error
    if missing := sorted(expected.keys() - tensors.keys()):
        raise WeightsError(f"{path}: tensor {missing[0]} is missing ({len(missing)} in all)")
    if unknown := sorted(tensors.keys() - expected.keys()):
        raise WeightsError(f"{path}: tensor {unknown[0]} is not part of this architecture ({len(unknown)} in all)")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise WeightsError(
                f"{path}: tensor {name} is {list(tensor.shape)}, config.json asks for {list(expected[name].shape)}"
            )
    return {name: tensor.float() for name, tensor in tensors.items()}


def save_tensors(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """Write tensors in this type."""
    save_file({name: tensor.detach().cpu().to(dtype).contiguous() for name, tensor in tensors.items()}, path)


def file_sha256(path: Path) -> str:
    """Hash of a weights file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
