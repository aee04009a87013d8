"""MuseTalk's own avatar cache, read without running code, as the parts of a bundle.

On disk, as upstream's ``realtime_inference.py`` writes it::

    avator_info.json    avatar_id, video_path, bbox_shift; later versions: version
    full_imgs/*.png     the frames, forth and back: 2N
    coords.pkl          2N face boxes [x1, y1, x2, y2], margin included; (0, 0, 0, 0) where no face was seen
    mask/*.png          2N masks, each of the square around its box
    mask_coords.pkl     2N such squares, which may leave the frame
    latents.pt          a list of half tensors [1, 8, 32, 32], one a frame with a face

Both turning frames are there twice; the bundle's loop shows each once.
"""

import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch
from torch import Tensor

from inference.avatar_bundle import Box, BundleError, Image, Mask
from inference.config import LATENT_CHANNELS, LATENT_SIZE
from inference.preparation.restricted_pickle import load_numbers

JPEG_QUALITY = 95  # a bundle's frames are JPEGs; the served frame is encoded again from this one
LATENT_SHAPE = (1, 2 * LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)


@dataclass(frozen=True, slots=True)
class UpstreamAvatar:
    """The forth half of a cache: N frames with a face, and how many had none."""

    name: str  # upstream's avatar_id
    width: int
    height: int
    frames: tuple[bytes, ...]  # JPEG
    boxes: tuple[Box, ...]  # inside the frame
    masks: tuple[Mask, ...]  # each of its box's size
    latents: Tensor  # [N, 8, 32, 32] fp32
    dropped: int  # frames without a face


def read_cache(folder: Path) -> UpstreamAvatar:
    """Read a cache; raises BundleError, in one line, for what is missing, damaged, or names code."""
    try:
        info = json.loads((folder / "avator_info.json").read_text())
        boxes, squares = _boxes(folder / "coords.pkl"), _boxes(folder / "mask_coords.pkl")
        latents = _latents(folder / "latents.pt")
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder}: not an avatar cache of MuseTalk ({error})") from error
    pictures, masks = _pictures(folder / "full_imgs"), _pictures(folder / "mask")
    count = len(boxes)
    for what, found in (("full_imgs", pictures), ("mask", masks), ("mask_coords.pkl", squares)):
        if len(found) != count:
            raise BundleError(f"{folder}: {what} has {len(found)} entries, coords.pkl {count}")
    if count == 0 or boxes != boxes[::-1]:
        raise BundleError(f"{folder}: coords.pkl is no loop forth and back; prepare the avatar again")
    shown = [i for i in range(count // 2) if any(boxes[i])]
    if len(latents) != 2 * len(shown) or not shown:
        raise BundleError(f"{folder}: latents.pt has {len(latents)} entries for {2 * len(shown)} frames with a face")
    images = [_read(pictures[i], cv2.IMREAD_COLOR)[..., ::-1] for i in shown]
    height, width = images[0].shape[:2]
    if any(image.shape != images[0].shape for image in images):
        raise BundleError(f"{folder}: the frames in full_imgs differ in size")
    inside = [_clipped(boxes[i], width, height, pictures[i]) for i in shown]
    return UpstreamAvatar(
        name=str(info.get("avatar_id", folder.name)),
        width=width,
        height=height,
        frames=tuple(_jpeg(image) for image in images),
        boxes=tuple(inside),
        masks=tuple(_box_mask(masks[i], box, squares[i]) for i, box in zip(shown, inside, strict=True)),
        latents=torch.cat(latents[: len(shown)]).float(),
        dropped=count // 2 - len(shown),
    )


def _boxes(path: Path) -> list[Box]:
    values = load_numbers(path)
    if not isinstance(values, list):
        raise ValueError(f"{path}: not a list")
    return [_box(value, path) for value in values]


def _box(value: Any, path: Path) -> Box:
    if not isinstance(value, list | tuple) or len(value) != 4 or not all(isinstance(v, int | float) for v in value):
        raise ValueError(f"{path}: {value!r} is not four numbers")
    x1, y1, x2, y2 = (int(number) for number in value)
    return x1, y1, x2, y2


def _latents(path: Path) -> list[Tensor]:
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        # torch's own text would advise loading it with code allowed.
        raise ValueError(f"{path}: refused, it is damaged or holds more than tensors") from error
    if not isinstance(tensors, list) or not all(isinstance(each, Tensor) for each in tensors):
        raise ValueError(f"{path}: not a list of tensors")
    for tensor in tensors:
        if tuple(tensor.shape) != LATENT_SHAPE:
            raise ValueError(f"{path}: a tensor is {list(tensor.shape)}, not {list(LATENT_SHAPE)}")
    return tensors


def _pictures(folder: Path) -> Sequence[Path]:
    """The numbered pictures of a folder by number."""
    try:
        return sorted(folder.glob("*.png"), key=lambda path: int(path.stem))
    except ValueError as error:
        raise BundleError(f"{folder}: a picture's name is no number ({error})") from error


def _read(path: Path, mode: int) -> Image:
    image = cv2.imread(str(path), mode)
    if image is None:
        raise BundleError(f"{path}: not a picture that can be read")
    return np.asarray(image, np.uint8)


def _jpeg(image: Image) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), JPEG_QUALITY, colorspace="RGB", colorsubsampling="444"
    )
    return encoded


def _clipped(box: Box, width: int, height: int, path: Path) -> Box:
    """The part of a box inside the frame: what upstream cropped, and so what the latents show."""
    x1, y1, x2, y2 = box
    clipped = (max(0, x1), max(0, y1), min(x2, width), min(y2, height))
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        raise BundleError(f"{path}: its box {box} lies outside the frame of {width}x{height}")
    return clipped


def _box_mask(path: Path, box: Box, square: Box) -> Mask:
    """The part of a square's mask that lies in the box."""
    mask = _read(path, cv2.IMREAD_GRAYSCALE)
    left, top, right, bottom = square
    if mask.shape != (bottom - top, right - left):
        raise BundleError(
            f"{path}: {mask.shape[1]}x{mask.shape[0]}, mask_coords.pkl says {right - left}x{bottom - top}"
        )
    x1, y1, x2, y2 = box
    if x1 < left or y1 < top or x2 > right or y2 > bottom:
        raise BundleError(f"{path}: its square {square} does not hold the box {box}")
    return np.ascontiguousarray(mask[y1 - top : y2 - top, x1 - left : x2 - left])
