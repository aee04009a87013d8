"""A preparer of faces that finds what its script says."""

import asyncio
import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from avatar_service.engines.base import Box, EncodedFaces, FoundFace, Weights
from avatar_service.errors import EngineError

FOUND: Box = (40, 40, 120, 140)
WEIGHTS = Weights("musetalk-v15", "0" * 64)


def always(index: int) -> FoundFace | None:
    """The same face in every picture."""
    return FoundFace(FOUND, 0.9)


class FakeFaces:
    """Each call takes `call_s`; `face` says what is in the nth picture that is looked at, `fails` which call raises."""

    def __init__(
        self,
        *,
        weights: Weights = WEIGHTS,
        served: bool = True,
        call_s: float = 0.01,
        face: Callable[[int], FoundFace | None] = always,
        fails: range = range(0),
        error: EngineError | None = None,
    ) -> None:
        self._weights = weights
        self._served = served
        self._call_s = call_s
        self._face = face
        self._fails = fails
        self._error = error
        self.calls = 0
        self.running = 0
        self.most_running = 0
        self.looked_at: list[bytes] = []
        self.encoded: list[tuple[bytes, Box]] = []

    async def ready(self) -> bool:
        """As told."""
        return self._served

    async def weights(self) -> Weights:
        """As told."""
        return self._weights

    async def find(self, images: Sequence[bytes]) -> Sequence[FoundFace | None]:
        """What the script says of each picture, by its place."""
        first = len(self.looked_at)
        self.looked_at += images
        await self._call()
        return [self._face(first + offset) for offset in range(len(images))]

    async def encode(self, images: Sequence[bytes], boxes: Sequence[Box]) -> EncodedFaces:
        """Latents of ones, and masks that cover the whole box."""
        self.encoded += zip(images, boxes, strict=True)
        await self._call()
        masks = tuple(_mask(x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes)
        return EncodedFaces(np.ones((len(images), 8, 32, 32), np.float32), masks, self._weights)

    async def _call(self) -> None:
        number = self.calls
        self.calls += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self._call_s)
        finally:
            self.running -= 1
        if number in self._fails and self._error:
            raise self._error


def _mask(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height), 255).save(file, "PNG")
    return file.getvalue()
