"""From the published names of tensors to those of our networks.

Names that no rule knows are kept, so that the comparison with the network finds and names them.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from inference.weights import WeightsError

Rule = tuple[str, str]
"""A pattern for a whole name, and the name that it becomes."""

# diffusers' attention before 2023, in which sd-vae-ft-mse is still published; see ModelMixin there.
VAE: Sequence[Rule] = (
    (r"(.+\.attentions\.\d+)\.query\.(.+)", r"\1.to_q.\2"),
    (r"(.+\.attentions\.\d+)\.key\.(.+)", r"\1.to_k.\2"),
    (r"(.+\.attentions\.\d+)\.value\.(.+)", r"\1.to_v.\2"),
    (r"(.+\.attentions\.\d+)\.proj_attn\.(.+)", r"\1.to_out.0.\2"),
)

WHISPER: Sequence[Rule] = ((r"model\.encoder\.(.+)", r"\1"),)
WHISPER_UNUSED: tuple[str, ...] = ("model.decoder.", "proj_out.")

# OpenAI's own names, those of tiny.pt.
OPENAI_WHISPER: Sequence[Rule] = (
    (r"encoder\.(conv[12]\..+)", r"\1"),
    (r"encoder\.positional_embedding", r"embed_positions.weight"),
    (r"encoder\.ln_post\.(.+)", r"layer_norm.\1"),
    (r"encoder\.blocks\.(\d+)\.attn\.query\.(.+)", r"layers.\1.self_attn.q_proj.\2"),
    (r"encoder\.blocks\.(\d+)\.attn\.key\.(.+)", r"layers.\1.self_attn.k_proj.\2"),
    (r"encoder\.blocks\.(\d+)\.attn\.value\.(.+)", r"layers.\1.self_attn.v_proj.\2"),
    (r"encoder\.blocks\.(\d+)\.attn\.out\.(.+)", r"layers.\1.self_attn.out_proj.\2"),
    (r"encoder\.blocks\.(\d+)\.attn_ln\.(.+)", r"layers.\1.self_attn_layer_norm.\2"),
    (r"encoder\.blocks\.(\d+)\.mlp\.0\.(.+)", r"layers.\1.fc1.\2"),
    (r"encoder\.blocks\.(\d+)\.mlp\.2\.(.+)", r"layers.\1.fc2.\2"),
    (r"encoder\.blocks\.(\d+)\.mlp_ln\.(.+)", r"layers.\1.final_layer_norm.\2"),
)
OPENAI_UNUSED: tuple[str, ...] = ("decoder.",)

TAESD_UNUSED = ("encoder.",)


def renamed(
    path: Path, tensors: Mapping[str, Tensor], rules: Sequence[Rule] = (), unused: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """Tensors under our names, without those that begin with an unused prefix.

    Raises WeightsError, naming ``path``, if two tensors get the same name.
    """
    result: dict[str, Tensor] = {}
    for old, tensor in tensors.items():
        if old.startswith(unused):
            continue
        name = _renamed(old, rules)
        if name in result:
            raise WeightsError(f"{path}: tensor {name} is there twice, under its old and its present name")
        result[name] = tensor
    return result


def taesd_decoder(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """TAESD's decoder from diffusers' file, or from the author's own, whose layers begin with a clamp as number 0."""
    if any(name.startswith("decoder.") for name in tensors):
        return renamed(path, tensors, unused=TAESD_UNUSED)
    return {_shifted(name): tensor for name, tensor in tensors.items()}


def _renamed(name: str, rules: Sequence[Rule]) -> str:
    for pattern, new in rules:
        if match := re.fullmatch(pattern, name):
            return match.expand(new)
    return name


def _shifted(name: str) -> str:
    number, _, rest = name.partition(".")
    return f"decoder.layers.{int(number) - 1}.{rest}" if number.isdecimal() else name
