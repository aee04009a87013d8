"""Where MuseTalk's files lie below its folder ``models``, and what their ``.json`` files must say.

Two namings are published: ``sd-vae`` and ``whisper/pytorch_model.bin`` of MuseTalk 1.5's script, ``sd-vae-ft-mse`` and
``whisper/tiny.pt`` of the one before; files of either may stand beside each other.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.checkpoints.source import FETCH
from inference.config import (
    FACE_CHANNELS,
    LATENT_CHANNELS,
    MEL_BINS,
    MUSETALK_V10,
    MUSETALK_V15,
    UNET_HEADS,
    KlSize,
    ModelConfig,
)
from inference.weights import WeightsError

VERSIONS: Mapping[str, ModelConfig] = {"v15": MUSETALK_V15, "v10": MUSETALK_V10}

UNET_FILES: Mapping[str, Sequence[str]] = {
    MUSETALK_V15.tier: ("musetalkV15/unet.pth",),
    MUSETALK_V10.tier: ("musetalk/pytorch_model.bin",),
}
UNET_CONFIG = "musetalk.json"
VAE_FILES = tuple(
    f"{folder}/diffusion_pytorch_model{suffix}"
    for folder in ("sd-vae", "sd-vae-ft-mse")
    for suffix in (".safetensors", ".bin")
)
TINY_PT = "tiny.pt"
WHISPER_FILES = ("whisper/model.safetensors", "whisper/pytorch_model.bin", f"whisper/{TINY_PT}")
TAESD_FILES = tuple(
    f"taesd/{name}"
    for name in ("diffusion_pytorch_model.safetensors", "taesd_decoder.safetensors", "taesd_decoder.pth")
)
HF_CONFIG = "config.json"

ENGLISH_VOCABULARY = 51_864  # of Whisper's English models; the multilingual ones have one word more


@dataclass(frozen=True, slots=True)
class Published:
    """The files of one version."""

    unet: Path
    vae: Path
    whisper: Path
    taesd: Path | None

    @property
    def configs(self) -> tuple[Path, ...]:
        """The descriptions beside the weights; ``tiny.pt`` holds its own."""
        whisper = () if self.whisper.name == TINY_PT else (self.whisper.with_name(HF_CONFIG),)
        return (self.unet.with_name(UNET_CONFIG), self.vae.with_name(HF_CONFIG), *whisper)


def find(models: Path, tier: str) -> Published:
    """The files of a tier below ``models``; raises WeightsError."""
    if not models.is_dir():
        raise WeightsError(f"{models}: no such folder; name MuseTalk's folder models")
    return Published(
        unet=_first(models, UNET_FILES[tier]),
        vae=_first(models, VAE_FILES),
        whisper=_first(models, WHISPER_FILES),
        taesd=next((models / name for name in TAESD_FILES if (models / name).is_file()), None),
    )


def check_configs(files: Published, config: ModelConfig) -> None:
    """The descriptions beside the weights tell of our sizes and of multilingual Whisper; raises WeightsError."""
    _check_json(files.unet.with_name(UNET_CONFIG), _unet_fields(config), {})
    if isinstance(config.vae, KlSize):
        _check_json(files.vae.with_name(HF_CONFIG), _vae_fields(config.vae), {"scaling_factor": config.latent_scale})
    if files.whisper.name != TINY_PT:
        path = files.whisper.with_name(HF_CONFIG)
        refuse_english(path, _read_json(path).get("vocab_size"))
        _check_json(path, _whisper_fields(config), {})


def refuse_english(path: Path, vocabulary: object) -> None:
    """Refuse Whisper's English model, whose encoder has the same shapes but is not what MuseTalk was trained with."""
    if vocabulary == ENGLISH_VOCABULARY:
        raise WeightsError(
            f"{path}: this is tiny.en, with {ENGLISH_VOCABULARY} words; MuseTalk was trained with the multilingual "
            f"tiny, whose encoder differs: mouths would be wrong; {FETCH}"
        )


def _first(models: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (models / name).is_file():
            return models / name
    choice = names[0] if len(names) == 1 else "one of " + ", ".join(names)
    raise WeightsError(f"{models}: {choice} is missing; name MuseTalk's folder models, or {FETCH}")


def _unet_fields(config: ModelConfig) -> dict[str, object]:
    size = config.unet
    return {
        "in_channels": 2 * LATENT_CHANNELS,
        "out_channels": LATENT_CHANNELS,
        "block_out_channels": list(size.block_channels),
        "down_block_types": list(size.down_blocks),
        "up_block_types": list(size.up_blocks),
        "layers_per_block": size.layers_per_block,
        "norm_num_groups": size.norm_groups,
        "norm_eps": 1e-5,
        "attention_head_dim": UNET_HEADS,
        "cross_attention_dim": config.whisper.width,
        "act_fn": "silu",
        "center_input_sample": False,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
    }


def _vae_fields(size: KlSize) -> dict[str, object]:
    levels = len(size.block_channels)
    return {
        "in_channels": FACE_CHANNELS,
        "out_channels": FACE_CHANNELS,
        "latent_channels": LATENT_CHANNELS,
        "block_out_channels": list(size.block_channels),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": size.layers_per_block,
        "norm_num_groups": size.norm_groups,
        "act_fn": "silu",
    }


def _whisper_fields(config: ModelConfig) -> dict[str, object]:
    size = config.whisper
    return {
        "d_model": size.width,
        "encoder_layers": size.layers,
        "encoder_attention_heads": size.heads,
        "encoder_ffn_dim": size.feed_forward,
        "max_source_positions": size.positions,
        "num_mel_bins": MEL_BINS,
    }


def _check_json(path: Path, required: Mapping[str, object], if_there: Mapping[str, object]) -> None:
    values = _read_json(path)
    for name, expected in required.items():
        if values.get(name) != expected:
            raise WeightsError(f"{path}: {name} is {values.get(name)!r}, MuseTalk has {expected!r}; {FETCH}")
    for name, expected in if_there.items():
        if values.get(name, expected) != expected:
            raise WeightsError(f"{path}: {name} is {values[name]!r}, MuseTalk has {expected!r}; {FETCH}")


def _read_json(path: Path) -> dict[str, object]:
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); {FETCH}") from error
    except ValueError as error:
        raise WeightsError(f"{path}: not JSON ({error}); {FETCH}") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: not a table of settings; {FETCH}")
    return values
