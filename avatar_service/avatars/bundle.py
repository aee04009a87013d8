"""Avatar bundles on disk: described, hashed and written as `inference/avatar_bundle.py` reads them.

Everything here blocks, and raises OSError.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from avatar_service.avatars.files import sync
from avatar_service.engines.base import Box, Weights

INFO, FRAMES, LATENTS, MASKS = "avatar.json", "frames", "latents.safetensors", "masks.safetensors"
LOOP = "ping-pong"
"""Forth and back, each turning frame once: nothing freezes, and the ends need not fit each other."""


@dataclass(frozen=True, slots=True)
class Description:
    """What `avatar.json` says, but for the hash."""

    avatar_id: str
    display_name: str
    width: int
    height: int
    fps: Fraction
    boxes: Sequence[Box]
    weights: Weights

    def values(self) -> dict[str, Any]:
        """By the names of the file. The frame rate is a number, from which the fraction can be told again."""
        return {
            "id": self.avatar_id,
            "display_name": self.display_name,
            "width": self.width,
            "height": self.height,
            "fps": float(self.fps),
            "loop": LOOP,
            "boxes": [list(box) for box in self.boxes],
            "tier": self.weights.tier,
            "vae_sha256": self.weights.vae_sha256,
        }


def frame_path(folder: Path, index: int) -> Path:
    """Where a bundle's frame lies."""
    return folder / FRAMES / f"{index:05d}.jpg"


def write_bundle(folder: Path, described: Description, latents: NDArray[np.float32], masks: Sequence[bytes]) -> str:
    """Complete a bundle whose frames lie in the folder already, wait until all is on the disk, and return its hash.

    `latents` are [n, 8, 32, 32], stored in half precision as the model computes; `masks` are PNG of the boxes' sizes.
    """
    save_file({"latents": latents.astype(np.float16)}, folder / LATENTS)
    save_file({f"mask_{index:05d}": _pixels(mask) for index, mask in enumerate(masks)}, folder / MASKS)
    values = described.values()
    _write_info(folder, values)
    sha256 = bundle_sha256(folder)
    _write_info(folder, values | {"sha256": sha256})
    for path in (*_frame_paths(folder), folder / LATENTS, folder / MASKS, folder / INFO, folder / FRAMES, folder):
        sync(path)
    return sha256


def bundle_sha256(folder: Path) -> str:
    """Hash over a bundle's file names and contents, as the renderer computes it."""
    values = json.loads((folder / INFO).read_text())
    values.pop("sha256", None)
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode())
    for path in (*_frame_paths(folder), folder / LATENTS, folder / MASKS):
        content = path.read_bytes()
        digest.update(f"\n{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _frame_paths(folder: Path) -> list[Path]:
    return sorted((folder / FRAMES).glob("*.jpg"))


def _write_info(folder: Path, values: dict[str, Any]) -> None:
    (folder / INFO).write_text(json.dumps(values, indent=1) + "\n")


def _pixels(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        return np.array(image.convert("L"), np.uint8)  # [box height, box width]
