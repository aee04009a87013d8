"""Reading one published file of tensors: a torch archive or safetensors. Nothing that could run code is loaded.

Tensors stay mapped to their file, so that reading a file of 3.4 GB takes neither its time nor its memory.
"""

import pickle
import re
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from inference.weights import WeightsError

FETCH = "fetch it with python -m inference.fetch_weights"
SAFETENSORS = ".safetensors"
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
ZIP = b"PK\x03\x04"  # torch.save has written zip archives since torch 1.6
PRECISIONS = (torch.float32, torch.float16, torch.bfloat16)


def read_table(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that holds nothing else, by name; raises WeightsError naming file, fault and way out."""
    return as_table(path, read_file(path))


def read_file(path: Path) -> object:
    """What a file holds: of safetensors and most archives a table of tensors; raises WeightsError."""
    if not path.is_file():
        raise WeightsError(f"{path}: missing; {FETCH}")
    _refuse_text(path)
    return _read_safetensors(path) if path.suffix == SAFETENSORS else _read_archive(path)


def as_table(path: Path, content: object) -> dict[str, Tensor]:
    """The content of a file as a flat table of tensors of the usual precisions; raises WeightsError."""
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not a table of tensors; {FETCH}")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise WeightsError(f"{path}: entry {name!r} is a {type(tensor).__name__}, not a tensor; {FETCH}")
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.dtype not in PRECISIONS:
            raise WeightsError(
                f"{path}: tensor {name} is a {tensor.layout} one of {tensor.dtype} on {tensor.device}, "
                f"not a dense one of fp32, fp16 or bf16 with values; {FETCH}"
            )
    return content


def _refuse_text(path: Path) -> None:
    """Downloads leave these in the place of weights: pointers of Git LFS, pages that tell of an error, nothing."""
    with path.open("rb") as file:
        head = file.read(256)
    if not head:
        raise WeightsError(f"{path}: empty; {FETCH}")
    if head.startswith(LFS_POINTER):
        raise WeightsError(
            f"{path}: a Git LFS pointer, not the file that it points to; run git lfs pull in its folder, or {FETCH}"
        )
    if head.lstrip()[:1] in (b"<", b"{"):
        raise WeightsError(f"{path}: a page of text, not weights: its download was answered with an error; {FETCH}")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
        return tensors
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a whole safetensors file, cut short or damaged ({error}); {FETCH}") from error


def _read_archive(path: Path) -> object:
    with path.open("rb") as file:
        if file.read(len(ZIP)) != ZIP:
            raise WeightsError(
                f"{path}: not a torch archive; a bare pickle could run code and is never loaded; {FETCH}"
            )
    if not zipfile.is_zipfile(path):
        raise WeightsError(f"{path}: cut short at {path.stat().st_size} bytes: its table of contents is gone; {FETCH}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        name = found[1] if found else "something else"
        raise WeightsError(f"{path}: holds {name} beside tensors, which could run code; not loaded; {FETCH}") from error
    except Exception as error:  # a damaged archive can make torch raise anything
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{path}: a damaged torch archive ({reason}); {FETCH}") from error
