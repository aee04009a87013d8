"""A weights folder: ``config.json`` and safetensors files, names and shapes checked. Never pickle."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from inference.audio_features import AudioFeatures
from inference.config import TAESD, KlSize, ModelConfig
from inference.networks import build_tiny_vae, build_unet, build_vae

NANO_DIR = Path(__file__).parent / "assets" / "nano"

UNET_FILE = "unet.safetensors"
VAE_FILE = "vae.safetensors"
WHISPER_FILE = "whisper.safetensors"
AUDIO_NORM_FILE = (
    "audio_norm.safetensors"  # mean and deviation of each Whisper state and channel over the training speech
)
TAESD_FILE = "taesd.safetensors"  # optional: the decoder that can stand in for that of the published autoencoder

READABLE = 0o644  # safetensors writes for its own user alone, and Triton may run as another


class WeightsError(ValueError):
    """A weights file is missing, unreadable, or not of this architecture; the message names file and tensor."""


@dataclass(frozen=True, slots=True)
class Model:
    """The networks of one weights folder, in evaluation mode, fp32.

    On a CPU, tensors that are stored in fp32 stay mapped to their file until something converts them.
    """

    config: ModelConfig
    audio: AudioFeatures
    unet: nn.Module  # see networks.build_unet
    vae: nn.Module  # see networks.build_vae
    vae_sha256: str  # of the autoencoder's file: an avatar's latents belong to exactly one autoencoder
    taesd: nn.Module | None = None  # an AutoencoderTiny without its encoder, where the folder has one

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Self:
        """Build the networks and load them; raises WeightsError."""
        try:
            config = ModelConfig.load(folder)
        except ValueError as error:
            raise WeightsError(str(error)) from error
        audio = _load_audio(config, folder)
        with torch.device("meta"):  # no memory and no time for first values, which the files replace
            unet, vae = _module(build_unet(config)), _module(build_vae(config))
        load_tensors(unet, folder / UNET_FILE, assign=True)
        load_tensors(vae, folder / VAE_FILE, assign=True)
        taesd = _load_taesd(config, folder / TAESD_FILE)
        for network in (audio, unet, vae, taesd):
            if network is not None:
                network.requires_grad_(False).eval().to(device)
        return cls(config, audio, unet, vae, file_sha256(folder / VAE_FILE), taesd)


def _load_audio(config: ModelConfig, folder: Path) -> AudioFeatures:
    audio = AudioFeatures(config.whisper, config.positions)
    load_tensors(audio.encoder, folder / WHISPER_FILE)
    if config.normalised_audio:
        norm = read_tensors(folder / AUDIO_NORM_FILE, {"mean": audio.mean, "deviation": audio.deviation})
        audio.mean.copy_(norm["mean"])
        audio.deviation.copy_(norm["deviation"])
    return audio


def _load_taesd(config: ModelConfig, path: Path) -> nn.Module | None:
    if not isinstance(config.vae, KlSize) or not path.is_file():
        return None
    with torch.device("meta"):
        taesd = build_taesd()
    load_tensors(taesd, path, assign=True)
    return taesd


def build_taesd() -> nn.Module:
    """TAESD without its encoder, untrained: scaled latents [B, 4, 32, 32] to RGB [B, 3, 256, 256] in -1 to 1."""
    taesd = _module(build_tiny_vae(TAESD))
    taesd.register_module("encoder", nn.Identity())
    return taesd


def save_weights(
    folder: Path,
    config: ModelConfig,
    audio: AudioFeatures,
    unet: UNet2DConditionModel,
    vae: AutoencoderTiny | AutoencoderKL,
) -> None:
    """Write a weights folder, the networks in fp16: half the size, and an error below a pixel's step."""
    config.save(folder)
    save_tensors(folder / WHISPER_FILE, audio.encoder.state_dict(), torch.float16)
    if config.normalised_audio:
        save_tensors(folder / AUDIO_NORM_FILE, {"mean": audio.mean, "deviation": audio.deviation}, torch.float32)
    save_tensors(folder / UNET_FILE, _module(unet).state_dict(), torch.float16)
    save_tensors(folder / VAE_FILE, _module(vae).state_dict(), torch.float16)


def _module(network: UNet2DConditionModel | AutoencoderTiny | AutoencoderKL) -> nn.Module:
    """diffusers' annotations hide that its models are modules."""
    return cast(nn.Module, network)


def load_tensors(network: nn.Module, path: Path, assign: bool = False) -> None:
    """Fill a network from a file that must hold exactly its tensors; raises WeightsError.

    With ``assign`` the network takes the file's tensors themselves, as one that was built on the meta device must.
    """
    network.load_state_dict(read_tensors(path, network.state_dict()), assign=assign)


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
    check_tensors(path, {name: tensor.shape for name, tensor in tensors.items()}, expected)
    return {name: tensor.float() for name, tensor in tensors.items()}


def check_tensors(path: Path, found: Mapping[str, torch.Size], expected: Mapping[str, Tensor]) -> None:
    """Compare the names and shapes of a file's tensors with the expected ones; raises WeightsError."""
    if missing := sorted(expected.keys() - found.keys()):
        raise WeightsError(f"{path}: tensor {missing[0]} is missing ({len(missing)} in all)")
    if unknown := sorted(found.keys() - expected.keys()):
        raise WeightsError(f"{path}: tensor {unknown[0]} is not part of this architecture ({len(unknown)} in all)")
    for name, shape in found.items():
        if shape != expected[name].shape:
            raise WeightsError(
                f"{path}: tensor {name} is {list(shape)}, the architecture asks for {list(expected[name].shape)}"
            )


def save_tensors(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """Write tensors in this type."""
    save_file({name: tensor.detach().cpu().to(dtype).contiguous() for name, tensor in tensors.items()}, path)
    path.chmod(READABLE)


def file_sha256(path: Path) -> str:
    """Hash of a weights file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
