"""From a published layout to a weights folder, once.

The published precision is kept unless half is asked for, so that results equal those of the published weights. The
folder appears whole or not at all: it is written beside its place and moved there at the end.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from inference.checkpoints import names
from inference.checkpoints.layout import TINY_PT, Published, check_configs, find, refuse_english
from inference.checkpoints.manifest import published_sha256
from inference.checkpoints.source import FETCH, as_table, read_file, read_table
from inference.config import CONFIG_FILE, ModelConfig
from inference.networks import build_unet, build_vae
from inference.weights import (
    READABLE,
    TAESD_FILE,
    UNET_FILE,
    VAE_FILE,
    WHISPER_FILE,
    WeightsError,
    build_taesd,
    check_tensors,
    file_sha256,
)
from inference.whisper_encoder import WhisperEncoder

SOURCES_FILE = "sources.json"
SPARE_BYTES = 64 << 20  # left free on the disk beside what is written


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A published file that a weights folder was made from, as ``sources.json`` records it."""

    path: str  # below models
    size: int  # bytes
    sha256: str
    as_published: bool  # whether the checksum is one that we know


@dataclass(frozen=True, slots=True)
class Converted:
    """One file of the weights folder."""

    name: str
    tensors: int
    parameters: int
    precision: str
    source: SourceFile


def convert(
    models: Path,
    target: Path,
    config: ModelConfig,
    half: bool = False,
    force: bool = False,
    report: Callable[[Converted], None] = lambda converted: None,
) -> None:
    """Write the weights folder ``target`` from the published files of ``config.tier`` below ``models``.

    Args:
        models: MuseTalk's folder of that name.
        target: must not exist, unless ``force`` replaces a weights folder.
        config: the sizes that the files must have.
        half: store fp16 instead of the published precision.
        force: replace an existing weights folder.
        report: is told of each file as soon as it is written.

    Raises WeightsError naming the file, what is wrong and the way out; then nothing is left behind.
    """
    files = find(models, config.tier)
    check_configs(files, config)
    check_target(target, force)
    _check_space(files, target, half)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        config.save(partial)
        _write(models, files, partial, config, half, report)
        _move(partial, target)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{target}: cannot be made ({error}); check rights and room, or name another") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_networks(files: Published, config: ModelConfig) -> dict[str, tuple[Path, dict[str, Tensor]]]:
    """The tensors of each file of a weights folder and where they came from, under our names, checked.

    They stay mapped to the published files. Raises WeightsError.
    """
    with torch.device("meta"):
        networks = {
            UNET_FILE: cast(nn.Module, build_unet(config)),
            VAE_FILE: cast(nn.Module, build_vae(config)),
            WHISPER_FILE: WhisperEncoder(config.whisper),
            TAESD_FILE: build_taesd(),
        }
    found = {
        UNET_FILE: (files.unet, read_table(files.unet)),
        VAE_FILE: (files.vae, names.renamed(files.vae, read_table(files.vae), names.VAE)),
        WHISPER_FILE: (files.whisper, _whisper(files.whisper)),
    }
    if files.taesd is not None:
        found[TAESD_FILE] = (files.taesd, names.taesd_decoder(files.taesd, read_table(files.taesd)))
    for name, (path, tensors) in found.items():
        check_tensors(path, {key: tensor.shape for key, tensor in tensors.items()}, networks[name].state_dict())
    return found


def _whisper(path: Path) -> dict[str, Tensor]:
    """Whisper's encoder; its decoder tells whether the model is the multilingual one."""
    if path.name == TINY_PT:
        content = read_file(path)
        if not isinstance(content, dict) or "model_state_dict" not in content:
            raise WeightsError(f"{path}: not a model of OpenAI's Whisper; {FETCH}")
        tensors = as_table(path, content["model_state_dict"])
        words, rules, unused = "decoder.token_embedding.weight", names.OPENAI_WHISPER, names.OPENAI_UNUSED
    else:
        tensors = read_table(path)
        words, rules, unused = "model.decoder.embed_tokens.weight", names.WHISPER, names.WHISPER_UNUSED
    if words in tensors:
        refuse_english(path, tensors[words].shape[0])
    return names.renamed(path, tensors, rules, unused)


def _write(
    models: Path, files: Published, folder: Path, config: ModelConfig, half: bool, report: Callable[[Converted], None]
) -> None:
    known = published_sha256()
    sources = [_source(models, path, known) for path in files.configs]
    for name, (path, tensors) in read_networks(files, config).items():
        save_file(_checked(path, tensors, half), folder / name)
        (folder / name).chmod(READABLE)
        source = _source(models, path, known)
        sources.append(source)
        report(_converted(name, tensors, half, source))
    values = {"tier": config.tier, "half": half, "files": [asdict(source) for source in sources]}
    (folder / SOURCES_FILE).write_text(json.dumps(values, indent=2) + "\n")


def _checked(path: Path, tensors: Mapping[str, Tensor], half: bool) -> dict[str, Tensor]:
    """The tensors in the precision in which they are stored, all of their values finite."""
    result = {}
    for name, tensor in tensors.items():
        stored = (tensor.half() if half else tensor).contiguous()
        if not all(math.isfinite(float(end)) for end in torch.aminmax(stored)):
            where = " as fp16; convert without --half" if half else f"; the file is damaged, {FETCH}"
            raise WeightsError(f"{path}: tensor {name} has values that are not finite{where}")
        result[name] = stored
    return result


def _source(models: Path, path: Path, known: frozenset[str]) -> SourceFile:
    sha256 = file_sha256(path)
    return SourceFile(path.relative_to(models).as_posix(), path.stat().st_size, sha256, sha256 in known)


def _converted(name: str, tensors: Mapping[str, Tensor], half: bool, source: SourceFile) -> Converted:
    precisions = {torch.float16} if half else {tensor.dtype for tensor in tensors.values()}
    precision = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in precisions))
    return Converted(name, len(tensors), sum(tensor.numel() for tensor in tensors.values()), precision, source)


def check_target(target: Path, force: bool) -> None:
    """Refuse to write where something stands that ``force`` may not replace; raises WeightsError."""
    if not target.exists():
        return
    if not force:
        raise WeightsError(f"{target}: exists; name a folder that does not, or replace it with --force")
    if not (target / CONFIG_FILE).is_file():
        raise WeightsError(f"{target}: not a weights folder, it has no {CONFIG_FILE}; --force replaces nothing else")


def _check_space(files: Published, target: Path, half: bool) -> None:
    paths = [files.unet, files.vae, files.whisper, *([files.taesd] if files.taesd else [])]
    needed = sum(path.stat().st_size for path in paths) // (2 if half else 1) + SPARE_BYTES
    folder = next(parent for parent in target.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WeightsError(f"{target}: needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free there; make room")


def _move(partial: Path, target: Path) -> None:
    """Put a finished folder in its place; one that stands there gives way only then."""
    old = partial.with_suffix(".old")
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)
