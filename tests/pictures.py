"""Pictures that move, to encode and to decode again."""

import functools
from typing import Any

import av
import numpy as np
import simplejpeg
from numpy.typing import NDArray

WIDTH, HEIGHT = 160, 96

Picture = NDArray[np.uint8]  # [height, width, 3] RGB


@functools.cache
def jpeg(index: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """A picture of soft shapes that drift with its index, 4:2:0 as the renderer makes it."""
    y, x = np.mgrid[:height, :width].astype(float)
    waves = [np.sin((x + shift * index) / size) * np.cos(y / size) for shift, size in ((3, 13), (-2, 17), (1, 23))]
    pixels = np.stack([128 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)
    data: bytes = simplejpeg.encode_jpeg(pixels, quality=80, colorsubsampling="420")
    return data


def pixels_of(image: bytes) -> Picture:
    """What libjpeg decodes a JPEG to."""
    pixels: Picture = simplejpeg.decode_jpeg(image, colorspace="RGB")
    return pixels


def h264_frames(units: list[bytes]) -> list[Any]:
    """Every access unit decoded, as PyAV's frames; raises for one that cannot be."""
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    decoder.options = {"err_detect": "explode"}
    return [frame for unit in units for frame in decoder.decode(av.Packet(unit))] + list(decoder.decode(None))


def nal_types(unit: bytes) -> list[int]:
    """What an access unit in Annex B consists of: 7 and 8 are parameter sets, 5 and 1 pictures, 5 of a key frame."""
    starts = [part for part in unit.split(b"\0\0\1")[1:] if part]
    return [part[0] & 31 for part in starts]


def psnr_db(one: Picture, other: Picture) -> float:
    """Likeness of two pictures in decibels."""
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))
