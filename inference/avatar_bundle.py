"""An avatar prepared for rendering: its loop of source frames, and each frame's face box, latents and mouth mask.

On disk a bundle is a folder::

    avatar.json           what ``AvatarInfo`` holds, and sha256 over all the rest
    frames/00000.jpg      the source frames, all of one size
    latents.safetensors   "latents" [N, 8, 32, 32]: masked, then reference latents of each frame's face crop
    masks.safetensors     where the painted mouth is seen. Either "masks" uint8 [N or 1, 256, 256] over the face crop, 1
                          = all alike; or "mask_00000", ... one a frame, of the size of its box

A bundle is loaded only if its files have the recorded hash. Frames stay JPEG bytes; who needs pixels decodes them.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from inference.config import FACE_SIZE, LATENT_CHANNELS, LATENT_SIZE
from inference.decoder import Region

INFO_FILE = "avatar.json"
FRAMES_FOLDER = "frames"
LATENTS_FILE = "latents.safetensors"
MASKS_FILE = "masks.safetensors"
LOOPS = ("ping-pong", "cycle")  # forth and back without showing the turning frames twice; or from the start again

Box = tuple[int, int, int, int]  # x1, y1, x2, y2 in pixels of the frame, x2 and y2 exclusive
Image = NDArray[np.uint8]  # [height, width, 3] RGB
Mask = NDArray[np.uint8]  # [256, 256] of the face crop, or [height, width] of the box


class BundleError(ValueError):
    """A bundle is missing, damaged or inconsistent; the message names the folder and the fault."""


@dataclass(frozen=True, slots=True)
class AvatarInfo:
    """What ``avatar.json`` says. The loop's period is 2N - 2 frames for ping-pong, N for cycle."""

    id: str
    display_name: str
    width: int
    height: int
    fps: float
    loop: str
    boxes: tuple[Box, ...]
    tier: str
    vae_sha256: str  # of the autoencoder's file that made the latents

    def frame_at(self, position: int) -> int:
        """The source frame shown at a position of the endless loop."""
        count = len(self.boxes)
        if self.loop == "cycle" or count == 1:
            return position % count
        position %= 2 * count - 2
        return min(position, 2 * count - 2 - position)

    def check(self) -> None:
        """Raise BundleError for values that rendering could not use."""
        if self.loop not in LOOPS:
            raise BundleError(f"{self.id}: loop is {self.loop!r}, known are {', '.join(LOOPS)}")
        if not self.boxes:
            raise BundleError(f"{self.id}: no frames")
        for i, (x1, y1, x2, y2) in enumerate(self.boxes):
            if not (0 <= x1 < x2 <= self.width and 0 <= y1 < y2 <= self.height):
                raise BundleError(
                    f"{self.id}: box {i} ({x1}, {y1}, {x2}, {y2}) is not inside {self.width}x{self.height}"
                )


@dataclass(frozen=True, slots=True)
class AvatarBundle:
    """A bundle in memory: JPEG frames, latents [N, 8, 32, 32] fp32, N masks or one for all, its hash."""

    info: AvatarInfo
    frames: tuple[bytes, ...]
    latents: Tensor
    masks: tuple[Mask, ...]
    sha256: str

    @property
    def size_bytes(self) -> int:
        """Memory it takes."""
        return sum(map(len, self.frames)) + self.latents.nbytes + sum(mask.nbytes for mask in self.masks)

    @property
    def reference(self) -> str:
        """``id@sha256``, as requests name it."""
        return f"{self.info.id}@{self.sha256}"

    def image(self, frame: int) -> Image:
        """A source frame's pixels; raises BundleError if it cannot be decoded."""
        try:
            image: Image = simplejpeg.decode_jpeg(self.frames[frame], colorspace="RGB")
        except ValueError as error:
            raise BundleError(f"{self.info.id}: frame {frame} cannot be decoded ({error})") from error
        return image

    def mask(self, frame: int) -> Mask:
        """A frame's mouth mask."""
        return self.masks[frame if len(self.masks) > 1 else 0]

    def mouth_region(self) -> Region:
        """The smallest part of the face crop that holds every frame's mask."""
        regions = [_covered(mask) for mask in self.masks if mask.any()]
        return Region(
            min(region.top for region in regions),
            max(region.bottom for region in regions),
            min(region.left for region in regions),
            max(region.right for region in regions),
        )

    def check(self) -> None:
        """Raise BundleError unless the parts fit each other."""
        self.info.check()
        count = len(self.info.boxes)
        if len(self.frames) != count:
            raise BundleError(f"{self.info.id}: {len(self.frames)} frames but {count} boxes")
        if tuple(self.latents.shape) != (count, 2 * LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE):
            raise BundleError(f"{self.info.id}: latents are {list(self.latents.shape)} for {count} frames")
        self._check_masks()
        for i, frame in enumerate(self.frames):
            if _jpeg_size(frame) != (self.info.height, self.info.width):
                raise BundleError(f"{self.info.id}: frame {i} is not a JPEG of {self.info.width}x{self.info.height}")

    def _check_masks(self) -> None:
        boxes = self.info.boxes
        if len(self.masks) not in (1, len(boxes)):
            raise BundleError(f"{self.info.id}: {len(self.masks)} masks for {len(boxes)} frames")
        if any(mask.dtype != np.uint8 or mask.ndim != 2 for mask in self.masks):
            raise BundleError(f"{self.info.id}: masks must be uint8 [height, width]")
        if not any(mask.any() for mask in self.masks):
            raise BundleError(f"{self.info.id}: masks must cover something")
        if _over_crop(self.masks):
            return
        for i, (x1, y1, x2, y2) in enumerate(boxes):
            height, width = self.mask(i).shape
            if (height, width) != (y2 - y1, x2 - x1):
                raise BundleError(f"{self.info.id}: mask {i} is {width}x{height}, its box {x2 - x1}x{y2 - y1}")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read and verify a bundle; raises BundleError."""
        try:
            values = json.loads((folder / INFO_FILE).read_text())
            recorded = str(values.pop("sha256"))
            if (found := content_sha256(folder)) != recorded:
                raise BundleError(
                    f"{folder}: content hash is {found}, {INFO_FILE} records {recorded}; the bundle is damaged"
                )
            info = AvatarInfo(**(values | {"boxes": tuple(tuple(box) for box in values["boxes"])}))
            frames = tuple(path.read_bytes() for path in _frame_paths(folder))
            latents = load_file(folder / LATENTS_FILE)["latents"].float()
            masks = _read_masks(folder / MASKS_FILE)
            bundle = cls(info, frames, latents, masks, recorded)
            bundle.check()
        except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise BundleError(f"{folder}: not an avatar bundle ({error})") from error
        return bundle


def save_bundle(folder: Path, info: AvatarInfo, frames: Sequence[bytes], latents: Tensor, masks: Iterable[Mask]) -> str:
    """Check and write a bundle, all of it or nothing, over any earlier one; returns its sha256.

    Latents are stored in fp16. Raises BundleError if the parts do not fit each other.
    """
    masks = tuple(masks)
    AvatarBundle(info, tuple(frames), latents, masks, "").check()
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        new.chmod(0o755)  # mkdtemp's 0700 would hide the bundle from a Triton that runs as another user
        (new / FRAMES_FOLDER).mkdir()
        for i, frame in enumerate(frames):
            (new / FRAMES_FOLDER / f"{i:05d}.jpg").write_bytes(frame)
        save_file({"latents": latents.detach().cpu().to(torch.float16).contiguous()}, new / LATENTS_FILE)
        save_file(_mask_tensors(masks), new / MASKS_FILE)
        _write_info(new, asdict(info))
        sha256 = content_sha256(new)
        _write_info(new, asdict(info) | {"sha256": sha256})
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return sha256


def content_sha256(folder: Path) -> str:
    """Hash over a bundle's file names and contents; of avatar.json all but its own ``sha256``. Raises OSError."""
    values = json.loads((folder / INFO_FILE).read_text())
    values.pop("sha256", None)
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode())
    for path in (*_frame_paths(folder), folder / LATENTS_FILE, folder / MASKS_FILE):
        content = path.read_bytes()
        digest.update(f"\n{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def recorded_sha256(folder: Path) -> str:
    """The hash that a bundle says it has; raises BundleError."""
    try:
        return str(json.loads((folder / INFO_FILE).read_text())["sha256"])
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise BundleError(f"{folder}: not an avatar bundle ({error})") from error


def _frame_paths(folder: Path) -> list[Path]:
    return sorted((folder / FRAMES_FOLDER).glob("*.jpg"))


def _over_crop(masks: Sequence[Mask]) -> bool:
    """Whether masks lie over the face crop; else each has its box's size. Of a box of 256x256 both are the same."""
    return all(mask.shape == (FACE_SIZE, FACE_SIZE) for mask in masks)


def _mask_tensors(masks: Sequence[Mask]) -> dict[str, Tensor]:
    if _over_crop(masks):
        return {"masks": torch.from_numpy(np.stack(masks))}
    return {f"mask_{i:05d}": torch.from_numpy(np.array(mask)) for i, mask in enumerate(masks)}


def _read_masks(path: Path) -> tuple[Mask, ...]:
    tensors = load_file(path)
    if "masks" in tensors:
        return tuple(tensors["masks"].numpy())
    return tuple(tensors[f"mask_{i:05d}"].numpy() for i in range(len(tensors)))


def _covered(mask: Mask) -> Region:
    """The smallest part of the face crop that holds what a mask covers."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    return Region(
        int(rows[0]) * FACE_SIZE // height,
        -(-(int(rows[-1]) + 1) * FACE_SIZE // height),
        int(columns[0]) * FACE_SIZE // width,
        -(-(int(columns[-1]) + 1) * FACE_SIZE // width),
    )


def _write_info(folder: Path, values: dict[str, Any]) -> None:
    (folder / INFO_FILE).write_text(json.dumps(values, indent=1) + "\n")


def _jpeg_size(jpeg: bytes) -> tuple[int, int] | None:
    """Height and width from a JPEG's header; None if it is none."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError:
        return None
    return height, width
