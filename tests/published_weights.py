"""Random weights in the layouts that MuseTalk is published in: the folder ``models`` of its own checkout."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from inference.config import LATENT_CHANNELS, TAESD, KlSize, ModelConfig, WhisperSize
from inference.networks import build_tiny_vae, build_unet, build_vae
from inference.whisper_encoder import WhisperEncoder
from tests.inference_data import SMALL

VOCABULARY = 51_865  # of Whisper's multilingual models; the English ones have one less


@dataclass(frozen=True, slots=True)
class Networks:
    """Untrained networks whose norms differ from their usual ones and zeros, so that a mixed-up norm shows."""

    unet: nn.Module
    vae: nn.Module
    whisper: WhisperEncoder


@dataclass(frozen=True, slots=True)
class Layout:
    """Which of the published forms to write."""

    vae_folder: Literal["sd-vae", "sd-vae-ft-mse"] = "sd-vae"
    vae_file: Literal["diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors"] = (
        "diffusion_pytorch_model.bin"
    )
    whisper_file: Literal["pytorch_model.bin", "model.safetensors", "tiny.pt"] = "pytorch_model.bin"
    taesd_file: Literal["", "diffusion_pytorch_model.safetensors", "taesd_decoder.pth"] = ""
    vocabulary: int = VOCABULARY


def random_networks(config: ModelConfig = SMALL, seed: int = 0) -> Networks:
    """The networks of a configuration with random values, in evaluation mode, fp32."""
    torch.manual_seed(seed)
    unet, vae = cast(nn.Module, build_unet(config)), cast(nn.Module, build_vae(config))
    whisper = WhisperEncoder(config.whisper)
    for network in (unet, vae, whisper):
        network.requires_grad_(False).eval()
        for module in network.modules():
            if isinstance(module, nn.GroupNorm | nn.LayerNorm):
                module.weight.add_(torch.randn_like(module.weight), alpha=0.1)
                module.bias.add_(torch.randn_like(module.bias), alpha=0.1)
    return Networks(unet, vae, whisper)


def write_published(
    models: Path,
    config: ModelConfig = SMALL,
    seed: int = 0,
    layout: Layout = Layout(),
    networks: Networks | None = None,
) -> Path:
    """Write the files of one version, ``config.tier`` saying which, as they are published; returns ``models``."""
    networks = networks or random_networks(config, seed)
    old = config.tier == "musetalk-v10"
    _write(models / ("musetalk/pytorch_model.bin" if old else "musetalkV15/unet.pth"), networks.unet.state_dict())
    _write_json(models / ("musetalk" if old else "musetalkV15") / "musetalk.json", unet_json(config))

    vae = models / layout.vae_folder
    _write(vae / layout.vae_file, old_attention_names(networks.vae.state_dict()))
    assert isinstance(config.vae, KlSize)
    _write_json(vae / "config.json", vae_json(config.vae))

    _write_whisper(models / "whisper", networks.whisper, config.whisper, layout)
    if layout.taesd_file:
        write_taesd(models / "taesd" / layout.taesd_file, seed)
    return models


def unet_json(config: ModelConfig) -> dict[str, Any]:
    """``musetalk.json``: the fields of the published one."""
    size = config.unet
    return {
        "_class_name": "UNet2DConditionModel",
        "_diffusers_version": "0.6.0.dev0",
        "act_fn": "silu",
        "attention_head_dim": 8,
        "block_out_channels": list(size.block_channels),
        "center_input_sample": False,
        "cross_attention_dim": config.whisper.width,
        "down_block_types": list(size.down_blocks),
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 2 * LATENT_CHANNELS,
        "layers_per_block": size.layers_per_block,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-05,
        "norm_num_groups": size.norm_groups,
        "out_channels": LATENT_CHANNELS,
        "sample_size": 64,
        "up_block_types": list(size.up_blocks),
    }


def vae_json(size: KlSize) -> dict[str, Any]:
    """``config.json`` of the autoencoder: the fields of the published one."""
    levels = len(size.block_channels)
    return {
        "_class_name": "AutoencoderKL",
        "_diffusers_version": "0.4.2",
        "act_fn": "silu",
        "block_out_channels": list(size.block_channels),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "in_channels": 3,
        "latent_channels": LATENT_CHANNELS,
        "layers_per_block": size.layers_per_block,
        "norm_num_groups": size.norm_groups,
        "out_channels": 3,
        "sample_size": 256,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
    }


def whisper_json(size: WhisperSize, vocabulary: int = VOCABULARY) -> dict[str, Any]:
    """``config.json`` of Whisper: those of the published fields that say what the encoder is."""
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_function": "gelu",
        "d_model": size.width,
        "encoder_attention_heads": size.heads,
        "encoder_ffn_dim": size.feed_forward,
        "encoder_layers": size.layers,
        "decoder_layers": size.layers,
        "max_source_positions": size.positions,
        "num_mel_bins": 80,
        "vocab_size": vocabulary,
    }


def old_attention_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the autoencoder under the attention names of 2022, as they are still published."""
    parts = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    return _renamed(tensors, {rf"(.*attentions\.0)\.{new}\.(.*)": rf"\1.{old}.\2" for new, old in parts.items()})


def openai_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of Whisper's encoder under OpenAI's own names, those of ``tiny.pt``."""
    parts = {
        "self_attn.q_proj": "attn.query",
        "self_attn.k_proj": "attn.key",
        "self_attn.v_proj": "attn.value",
        "self_attn.out_proj": "attn.out",
        "self_attn_layer_norm": "attn_ln",
        "final_layer_norm": "mlp_ln",
        "fc1": "mlp.0",
        "fc2": "mlp.2",
    }
    rules = {rf"layers\.(\d+)\.{new}\.(\w+)": rf"encoder.blocks.\1.{old}.\2" for new, old in parts.items()}
    rules |= {r"embed_positions\.weight": "encoder.positional_embedding", r"layer_norm\.(.*)": r"encoder.ln_post.\1"}
    return _renamed(tensors, rules | {r"(conv.*)": r"encoder.\1"})


def _renamed(tensors: dict[str, Tensor], rules: dict[str, str]) -> dict[str, Tensor]:
    """The first pattern that is a whole name gives the new one; a name that no pattern knows stays."""
    renamed = {}
    for name, tensor in tensors.items():
        fits = (re.sub(pattern, new, name) for pattern, new in rules.items() if re.fullmatch(pattern, name))
        renamed[next(fits, name)] = tensor
    return renamed


def _write_whisper(folder: Path, encoder: WhisperEncoder, size: WhisperSize, layout: Layout) -> None:
    tensors = encoder.state_dict()
    words = torch.zeros(1, size.width).expand(layout.vocabulary, size.width)  # a torch archive stores one row of it
    path = folder / layout.whisper_file
    if layout.whisper_file == "tiny.pt":
        folder.mkdir(parents=True, exist_ok=True)
        dims = {"n_mels": 80, "n_vocab": layout.vocabulary, "n_audio_state": size.width}
        state = openai_names(tensors) | {"decoder.token_embedding.weight": words}
        torch.save({"dims": dims, "model_state_dict": {name: tensor.half() for name, tensor in state.items()}}, path)
        return
    published = {f"model.encoder.{name}": tensor for name, tensor in tensors.items()}
    published["model.decoder.embed_tokens.weight"] = words
    published["model.decoder.layer_norm.weight"] = torch.ones(size.width)
    _write(path, published)
    _write_json(folder / "config.json", whisper_json(size, layout.vocabulary))


def write_taesd(path: Path, seed: int) -> None:
    """Random weights of TAESD: all of it in diffusers' form, its decoder as ``taesd_decoder.pth``."""
    torch.manual_seed(seed)
    tensors = cast(nn.Module, build_tiny_vae(TAESD)).state_dict()
    if path.suffix == ".pth":  # the author's own format begins with a clamp, which has no tensors but a number
        layers = {name.removeprefix("decoder.layers."): t for name, t in tensors.items() if name.startswith("decoder.")}
        split = {name: name.split(".", 1) for name in layers}
        tensors = {f"{int(number) + 1}.{rest}": layers[name] for name, (number, rest) in split.items()}
    _write(path, tensors)


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    else:
        torch.save(tensors, path)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n")
