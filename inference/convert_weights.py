"""Make a weights folder from MuseTalk's published files: ``python -m inference.convert_weights``."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from inference.checkpoints.convert import Converted, convert
from inference.checkpoints.layout import VERSIONS
from inference.weights import WeightsError

EXAMPLE = """
example:
  python -m inference.convert_weights MuseTalk/models weights/v15 --version v15
  MUSETALK_MODEL_DIR=weights/v15 avatar-service triton

SOURCE is the folder models of a MuseTalk checkout:
  musetalkV15/unet.pth, musetalk.json            with --version v15
  musetalk/pytorch_model.bin, musetalk.json      with --version v10
  sd-vae/ or sd-vae-ft-mse/                      diffusion_pytorch_model.bin or .safetensors, config.json
  whisper/                                       pytorch_model.bin or model.safetensors, config.json; or tiny.pt
  taesd/ (optional)                              diffusion_pytorch_model.safetensors or taesd_decoder.pth
"""


def main(arguments: list[str] | None = None) -> int:
    """Convert; exits with 1 after one line that names file, fault and way out."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.convert_weights",
        description="Make a weights folder from MuseTalk's published files, once.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="MuseTalk's folder models")
    parser.add_argument("target", type=Path, metavar="TARGET", help="the weights folder to write")
    parser.add_argument("--version", choices=tuple(VERSIONS), required=True, help="which of MuseTalk's models")
    parser.add_argument("--half", action="store_true", help="store fp16: half the size; published precision otherwise")
    parser.add_argument("--force", action="store_true", help="replace a weights folder that is there")
    options = parser.parse_args(arguments)
    console = Console(soft_wrap=True, highlight=False)
    try:
        convert(
            options.source,
            options.target,
            VERSIONS[options.version],
            options.half,
            options.force,
            report=lambda converted: report(console, converted),
        )
    except WeightsError as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"error: {error}", markup=False)
        return 1
    console.print(f"{options.target} is ready: MUSETALK_MODEL_DIR={options.target}", markup=False)
    return 0


def report(console: Console, converted: Converted) -> None:
    """Print what became of one published file."""
    console.print(
        f"{converted.name}: {converted.tensors} tensors, {converted.parameters:,} parameters, {converted.precision}",
        markup=False,
    )
    source = converted.source
    known = "as published" if source.as_published else "not on record: v1.0's, fine-tuned, or damaged"
    console.print(f"  from {source.path}, sha256 {source.sha256}, {known}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
