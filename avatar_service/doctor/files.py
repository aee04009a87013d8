"""What must lie on disk: avatar bundles and the weights of the lip-sync model."""

import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path

from avatar_service.avatars.bundle import LATENTS, MASKS, bundle_sha256
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.doctor.report import Finding, failed, ok
from avatar_service.errors import StartupError
from avatar_service.settings import PreparationSettings, ServerSettings

CONFIG = "config.json"
WEIGHTS = ("unet.safetensors", "vae.safetensors", "whisper.safetensors")
"""Files of every weights folder beside its configuration."""
AUDIO_NORM = "audio_norm.safetensors"
"""Of those whose configuration tells so; the published weights have none."""
TAESD = "taesd.safetensors"
"""Of those that were given it."""
PUBLISHED = ("musetalkV15", "musetalk", "sd-vae", "sd-vae-ft-mse")
"""Folders below MuseTalk's own ``models``, which Triton cannot load as it is."""
WEIGHTS_VARIABLE = "MUSETALK_MODEL_DIR"
LARGEST_HEADER = 100 << 20
"""Bytes; the safetensors format allows no longer header."""
PREPARE = "prepare the avatar again, or copy its whole folder again"


def avatars(server: ServerSettings, preparation: PreparationSettings) -> Sequence[Finding]:
    """Every bundle is whole and has the content that its description records."""
    try:
        catalogue = Catalogue.of(server, preparation)
    except StartupError as error:
        return [failed("avatars", str(error), "AVATAR_AVATARS must be the directory that Triton reads too")]
    findings = []
    for avatar in catalogue.ready():
        folder = server.avatars / avatar.avatar_id if avatar.public else preparation.folder / avatar.sha256
        if fault := _fault(folder, avatar.sha256):
            findings.append(failed("avatars", fault, PREPARE))
    default = catalogue.get("").avatar_id
    whole = len(catalogue.ready()) - len(findings)
    where = f"{server.avatars} and {preparation.folder}"
    return [*findings, ok("avatars", f"{whole} whole in {where}; the default is {default}")]


def _fault(folder: Path, recorded: str) -> str:
    """What is wrong with a bundle's files; empty if nothing is."""
    for name in (LATENTS, MASKS):
        if fault := safetensors_fault(folder / name):
            return fault
    found = bundle_sha256(folder)
    return "" if found == recorded else f"{folder}: its content has hash {found[:12]}, its description {recorded[:12]}"


def weights() -> Finding:
    """The weights that a Triton started here would load are there and whole."""
    folder = _weights_folder()
    if folder is None:
        return ok("weights", "the package inference is not installed here: Triton runs elsewhere, with its own weights")
    mend = f"set {WEIGHTS_VARIABLE} to a folder of weights, or unset it for the bundled model"
    if not folder.is_dir():
        return failed("weights", f"no directory {folder}", mend)
    if any((folder / name).is_dir() for name in PUBLISHED):
        detail = f"{folder} holds MuseTalk's published files, not a folder of weights"
        return failed("weights", detail, f"python -m inference.convert_weights {folder} TARGET --version v15, once")
    config = _config(folder / CONFIG)
    if isinstance(config, str):
        return failed("weights", config, mend)
    names = [*WEIGHTS, *([AUDIO_NORM] if config.get("normalised_audio", True) else [])]
    for name in [*names, *([TAESD] if (folder / TAESD).exists() else [])]:
        if fault := safetensors_fault(folder / name):
            return failed("weights", fault, mend)
    return ok("weights", f"{config.get('tier', 'unnamed')} in {folder}")


def _config(path: Path) -> dict[str, object] | str:
    """The configuration of a weights folder, or what is wrong with it."""
    if missing := _missing(path):
        return missing
    try:
        values = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        return f"{path}: not a configuration ({error})"
    return values if isinstance(values, dict) else f"{path}: not a configuration"


def _weights_folder() -> Path | None:
    if named := os.environ.get(WEIGHTS_VARIABLE):
        return Path(named)
    spec = importlib.util.find_spec("inference")
    return Path(spec.origin).parent / "assets/nano" if spec and spec.origin else None


def _missing(path: Path) -> str:
    return "" if path.is_file() else f"{path}: missing"


def safetensors_fault(path: Path) -> str:
    """Why a file is not a whole safetensors file, judged by its header and length; empty if it is one."""
    if missing := _missing(path):
        return missing
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= LARGEST_HEADER else b""
    try:
        tensors = [value for name, value in json.loads(header).items() if name != "__metadata__"]
        end = 8 + length + max(tensor["data_offsets"][1] for tensor in tensors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{path}: not a safetensors file; a download may have left a pointer or a page of text in its place"
    size = path.stat().st_size
    return "" if size == end else f"{path}: {size} bytes, but its header tells of {end}: it was cut or damaged"
