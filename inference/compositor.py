"""Pasting the painted mouth into the source frame: on the mask's box only, in integers."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.avatar_bundle import Box, Image, Mask
from inference.config import FACE_SIZE
from inference.decoder import Region

# Pixels around what is seen of a face crop that resizing it looks at: a neighbour, and one for rounding.
RESIZE_REACH = 2


@dataclass(frozen=True, slots=True)
class Paste:
    """Where and how strongly a painted mouth goes into a frame."""

    box: Box  # of the face crop in the frame
    region: Region  # the part of the crop that was painted
    mask: Mask  # of the crop, or of the box's own size


def paste_region(mouth_region: Region, boxes: tuple[Box, ...]) -> Region:
    """The part of the face to paint: the mouth region, and what resizing it to one of the boxes needs around it."""
    return mouth_region if all(_face_sized(box) for box in boxes) else mouth_region.widened(RESIZE_REACH, FACE_SIZE)


def to_pixels(painted: Tensor) -> Tensor:
    """RGB in -1 to 1, [B, 3, h, w], to uint8 [B, h, w, 3], rounded half to even as MuseTalk does."""
    return ((painted / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def paste(image: Image, painted: Image, where: Paste, weight: float) -> Image:
    """A copy of the frame with the painted pixels blended in under the mask times ``weight`` (0 to 1).

    ``painted`` [h, w, 3] shows ``where.region`` of the face crop.
    """
    x1, y1, x2, y2 = where.box
    region, mask = where.region, where.mask
    if not _face_sized(where.box):
        painted, region = _resized_part(painted, region, y2 - y1, x2 - x1)
        if mask.shape != (y2 - y1, x2 - x1):
            mask = resize(mask, y2 - y1, x2 - x1)
    strength = mask[region.top : region.bottom, region.left : region.right, None]  # [h, w, 1]
    if weight < 1.0:
        strength = np.rint(strength * weight).astype(np.uint8)
    result = image.copy()
    target = result[y1 + region.top : y1 + region.bottom, x1 + region.left : x1 + region.right]  # [h, w, 3], a view
    target[:] = blend(target, painted, strength)
    return result


def blend(under: NDArray[np.uint8], over: NDArray[np.uint8], strength: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """round((under * (255 - strength) + over * strength) / 255), exactly, in 16 bits (Pillow's formula)."""
    strength_16 = strength.astype(np.uint16)
    total = under * (255 - strength_16) + over * strength_16 + np.uint16(128)  # at most 65,153
    blended: NDArray[np.uint8] = (((total >> 8) + total) >> 8).astype(np.uint8)
    return blended


def _face_sized(box: Box) -> bool:
    x1, y1, x2, y2 = box
    return (x2 - x1, y2 - y1) == (FACE_SIZE, FACE_SIZE)


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """OpenCV's INTER_LINEAR, as upstream fits a painted face into its box."""
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _resized_part(painted: Image, region: Region, height: int, width: int) -> tuple[Image, Region]:
    """A part of the face crop as a part of a box of this size, and which: exactly what the whole crop would give.

    The part is put in its place in an empty crop; the pixels that resizing mixes with the empty ones lie outside the
    mouth region, where nothing is seen.
    """
    crop = np.zeros((FACE_SIZE, FACE_SIZE, 3), np.uint8)
    crop[region.top : region.bottom, region.left : region.right] = painted
    part = Region(
        region.top * height // FACE_SIZE,
        -(-region.bottom * height // FACE_SIZE),
        region.left * width // FACE_SIZE,
        -(-region.right * width // FACE_SIZE),
    )
    return resize(crop, height, width)[part.top : part.bottom, part.left : part.right], part
