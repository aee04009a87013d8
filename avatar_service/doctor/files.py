"""What must lie on disk: avatar bundles and the weights of the lip-sync model."""

import hashlib
import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path

from avatar_service.avatars.catalogue import Catalogue
from avatar_service.doctor.report import Finding, failed, ok
from avatar_service.errors import StartupError
from avatar_service.settings import ServerSettings

LATENTS, MASKS = "latents.safetensors", "masks.safetensors"
WEIGHTS = ("config.json", "unet.safetensors", "vae.safetensors", "whisper.safetensors", "audio_norm.safetensors")
"""Files of a weights folder."""
WEIGHTS_VARIABLE = "MUSETALK_MODEL_DIR"
LARGEST_HEADER = 100 << 20
"""Bytes; the safetensors format allows no longer header."""
PREPARE = "prepare the avatar again, or copy its whole folder again"


def avatars(server: ServerSettings) -> Sequence[Finding]:
    """Every bundle is whole and has the content that its description records."""
    try:
        catalogue = Catalogue.load(server.avatars, server.default_avatar)
    except StartupError as error:
        return [failed("avatars", str(error), "AVATAR_AVATARS must be the directory that Triton reads too")]
    findings = []
    for avatar in catalogue.all():
        folder = server.avatars / avatar.avatar_id
        if fault := _fault(folder, avatar.sha256):
            findings.append(failed("avatars", fault, PREPARE))
    default = catalogue.get("").avatar_id
    whole = len(catalogue.all()) - len(findings)
    return [*findings, ok("avatars", f"{whole} whole in {server.avatars}; the default is {default}")]


def _fault(folder: Path, recorded: str) -> str:
    """What is wrong with a bundle's files; empty if nothing is."""
    for name in (LATENTS, MASKS):
        if fault := safetensors_fault(folder / name):
            return fault
    found = bundle_sha256(folder)
    return "" if found == recorded else f"{folder}: its content has hash {found[:12]}, its description {recorded[:12]}"


def bundle_sha256(folder: Path) -> str:
    """Hash over a bundle's file names and contents, as the renderer computes it. Raises OSError."""
    values = json.loads((folder / "avatar.json").read_text())
    values.pop("sha256", None)
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode())
    for path in (*sorted((folder / "frames").glob("*.jpg")), folder / LATENTS, folder / MASKS):
        content = path.read_bytes()
        digest.update(f"\n{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def weights() -> Finding:
    """The weights that a Triton started here would load are there and whole."""
    folder = _weights_folder()
    if folder is None:
        return ok("weights", "the package inference is not installed here: Triton runs elsewhere, with its own weights")
    mend = f"set {WEIGHTS_VARIABLE} to a folder of weights, or unset it for the bundled model"
    if not folder.is_dir():
        return failed("weights", f"no directory {folder}", mend)
    for name in WEIGHTS:
        path = folder / name
        fault = safetensors_fault(path) if path.suffix == ".safetensors" else _missing(path)
        if fault:
            return failed("weights", fault, mend)
    tier = json.loads((folder / "config.json").read_text()).get("tier", "unnamed")
    return ok("weights", f"{tier} in {folder}")


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
