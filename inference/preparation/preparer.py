"""Preparation: pictures, and boxes where they are known, to boxes, latents and masks. It keeps nothing of a request.

A preparer belongs to one thread. The face models and the autoencoder are loaded when a request first needs them.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference import cpu
from inference.avatar_bundle import Box, Image
from inference.config import LATENT_CHANNELS, LATENT_SIZE
from inference.preparation.bisenet import BiSeNetParser
from inference.preparation.boxes import MAX_SHIFT, NO_BOX, box_rule, face_box, is_usable
from inference.preparation.encoder import FaceEncoder
from inference.preparation.faces import FaceFinder
from inference.preparation.latents import crop_face, encode_faces
from inference.preparation.masks import box_mask, mask_rule
from inference.preparation.parsing import FaceParser, MeshParser
from inference.requests import InvalidRequest

MAX_IMAGES = 8
MAX_JPEG_BYTES = 16 << 20
MAX_SIDE = 4096  # pixels


@dataclass(frozen=True, slots=True)
class PreparerSettings:
    """Where the weights lie and how they are run."""

    model_dir: Path
    device: str = "cpu"  # a torch device
    precision: str = ""  # of the autoencoder; empty: fp16 on CUDA, else fp32
    threads: int = 1  # of one torch operation, for the whole process
    face_parser: Path | None = None  # BiSeNet's checkpoint; None: masks are drawn from the face mesh


@dataclass(frozen=True, slots=True)
class PrepareRequest:
    """The tensors of ``model_repository/README.md``, and which outputs are wanted."""

    images: tuple[bytes, ...]  # JPEG
    boxes: NDArray[np.int32] | None  # [images, 4]; None: find them
    box_shift: int
    outputs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Prepared:
    """One picture's face. ``latents`` and ``mask`` are empty where not asked for, or where there is no face."""

    box: Box
    confidence: float
    latents: NDArray[np.float32]  # [8, 32, 32]
    mask: bytes  # PNG, 8-bit grey, of the box's size


NO_LATENTS = np.zeros((2 * LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE), np.float32)


class Preparer:
    """The networks of preparation on one device."""

    def __init__(self, settings: PreparerSettings) -> None:
        cpu.tune(settings.threads)
        self._settings = settings

    @cached_property
    def encoder(self) -> FaceEncoder:
        """The autoencoder's encoder; raises WeightsError."""
        return FaceEncoder.load(self._settings.model_dir, torch.device(self._settings.device), self._settings.precision)

    @cached_property
    def finder(self) -> FaceFinder:
        """The face models; raises FaceModelsError."""
        return FaceFinder()

    @cached_property
    def parser(self) -> FaceParser:
        """What tells the face's parts apart for masks; raises WeightsError."""
        path = self._settings.face_parser
        return MeshParser() if path is None else BiSeNetParser(path, torch.device(self._settings.device))

    @property
    def weights(self) -> tuple[str, str]:
        """The tier, and the hash of the autoencoder's file, to which latents belong."""
        return self.encoder.config.tier, self.encoder.vae_sha256

    def prepare(self, request: PrepareRequest) -> list[Prepared]:
        """Answer a request, a picture at a time; raises InvalidRequest, WeightsError or FaceModelsError."""
        check(request, self.encoder.config.tier)
        return [
            self._prepare(jpeg, number, None if request.boxes is None else request.boxes[number], request)
            for number, jpeg in enumerate(request.images)
        ]

    def _prepare(self, jpeg: bytes, number: int, given: NDArray[np.int32] | None, request: PrepareRequest) -> Prepared:
        image = decode(jpeg, number)
        mesh = None
        if given is not None:
            box, confidence = _given_box(given, number, image), 1.0
        else:
            box, confidence, mesh = self._find(image, request.box_shift)
        if box == NO_BOX:
            return Prepared(NO_BOX, 0.0, NO_LATENTS, b"")
        latents, mask = NO_LATENTS, b""
        if "LATENTS" in request.outputs:
            latents = encode_faces(self.encoder, crop_face(image, box)[None])[0].numpy()
        if "MASKS" in request.outputs:
            if mesh is None and self._settings.face_parser is None:
                mesh = self.finder.mesh_in(image, box)
            mask = _png(box_mask(image, box, mesh, self.parser, mask_rule(self.encoder.config.tier)))
        return Prepared(box, confidence, latents, mask)

    def _find(self, image: Image, shift: int) -> tuple[Box, float, NDArray[np.float32] | None]:
        face = self.finder.find(image)
        if face is None:
            return NO_BOX, 0.0, None
        rule = box_rule(self.encoder.config.tier)
        box = face_box(face.landmarks(), face.detector_box, (image.shape[0], image.shape[1]), rule, shift)
        return box, face.confidence, face.mesh


def check(request: PrepareRequest, tier: str) -> None:
    """Raise InvalidRequest for the first field out of its limits."""
    count = len(request.images)
    if not 1 <= count <= MAX_IMAGES:
        raise InvalidRequest("IMAGES", f"{count} pictures, a request takes 1 to {MAX_IMAGES}; send several")
    for number, jpeg in enumerate(request.images):
        if len(jpeg) > MAX_JPEG_BYTES:
            raise InvalidRequest("IMAGES", f"picture {number} has {len(jpeg)} bytes, at most {MAX_JPEG_BYTES}")
    if request.boxes is not None and request.boxes.shape != (count, 4):
        raise InvalidRequest("BOXES", f"shape {list(request.boxes.shape)} for {count} pictures, send [{count}, 4]")
    if request.box_shift and not box_rule(tier).shiftable:
        raise InvalidRequest("BOX_SHIFT", f"{request.box_shift}, but the boxes of {tier} cannot be moved; leave it out")
    if abs(request.box_shift) > MAX_SHIFT:
        raise InvalidRequest("BOX_SHIFT", f"{request.box_shift} pixels, must be from -{MAX_SHIFT} to {MAX_SHIFT}")


def decode(jpeg: bytes, number: int) -> Image:
    """A picture's pixels; raises InvalidRequest for one that is too large or no JPEG."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
        if max(height, width) > MAX_SIDE:
            raise InvalidRequest(
                "IMAGES", f"picture {number} is {width}x{height}, at most {MAX_SIDE} pixels a side; scale it down"
            )
        image: Image = simplejpeg.decode_jpeg(jpeg, colorspace="RGB")
    except InvalidRequest:
        raise
    except ValueError as error:
        raise InvalidRequest("IMAGES", f"picture {number} is not a JPEG that can be decoded ({error})") from error
    return image


def stack(results: Sequence[Prepared]) -> dict[str, NDArray[np.generic]]:
    """The results as output tensors, all but WEIGHTS."""
    return {
        "BOXES": np.array([each.box for each in results], np.int32),
        "FACES": np.array([each.confidence for each in results], np.float32),
        "LATENTS": np.stack([each.latents for each in results]),
        "MASKS": np.array([each.mask for each in results], np.object_),
    }


def _given_box(given: NDArray[np.int32], number: int, image: Image) -> Box:
    x1, y1, x2, y2 = (int(value) for value in given)
    height, width = image.shape[:2]
    box = (x1, y1, x2, y2)
    if box != NO_BOX and not is_usable(box, (height, width)):
        raise InvalidRequest(
            "BOXES", f"box {number} {box} is not inside its picture of {width}x{height}, or less than 16 pixels a side"
        )
    return box


def _png(mask: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(mask).save(file, "PNG")
    return file.getvalue()
