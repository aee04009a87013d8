"""Faces found and encoded by the model `prepare` in Triton."""

import io
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

from avatar_service.engines import policy
from avatar_service.engines.attempt import Attempt
from avatar_service.engines.base import Box, EncodedFaces, FoundFace, Weights
from avatar_service.engines.triton_answers import ENGINE, Answer, malformed
from avatar_service.engines.triton_calls import TritonCalls
from avatar_service.errors import EngineRejected
from avatar_service.settings import LimitSettings, PreparationSettings, TritonSettings

STAGE = "prepare"
MODEL = "prepare"
MAX_IN_FLIGHT = 128
"""Calls that may run at once over all preparations: twice what the most of them can send."""
METADATA_S = 10.0
"""Longest wait for what Triton tells of its models."""
INPUTS = {"IMAGES": "BYTES", "BOXES": "INT32"}
"""The tensors of a request that are used here, and their types, as model_repository/README.md states them."""


class TritonFacePreparer:
    """Use as `async with`; leaving waits for the calls in flight."""

    def __init__(self, triton: TritonSettings, preparation: PreparationSettings, limits: LimitSettings) -> None:
        self._limits = limits
        self._timeout_s = preparation.request_s
        self._triton = TritonCalls(STAGE, triton.address, preparation.request_s, MAX_IN_FLIGHT)

    async def __aenter__(self) -> Self:
        await self._triton.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._triton.__aexit__(kind, error, trace)

    async def ready(self) -> bool:
        """Whether Triton answers and has the model. Raises StartupError if the model takes other tensors."""
        return await self._triton.serves(MODEL, INPUTS, METADATA_S)

    async def weights(self) -> Weights:
        """The weights in use. Raises EngineError."""
        return _weights(await self._infer({"IMAGES": _texts([BLANK])}, ["WEIGHTS"]))

    async def find(self, images: Sequence[bytes]) -> Sequence[FoundFace | None]:
        """The face in each JPEG; None where there is none. Raises EngineError."""
        answer = await self._infer({"IMAGES": _texts(images)}, ["BOXES", "FACES"])
        boxes, confidences = answer.numbers("BOXES", (len(images), 4)), answer.numbers("FACES", (len(images),))
        return [
            FoundFace(_box(box), float(confidence)) if confidence > 0 else None
            for box, confidence in zip(boxes.tolist(), confidences, strict=True)
        ]

    async def encode(self, images: Sequence[bytes], boxes: Sequence[Box]) -> EncodedFaces:
        """The face within each JPEG's box, as the model takes it. Raises EngineError."""
        tensors = {"IMAGES": _texts(images), "BOXES": np.array(boxes, np.int32)}
        answer = await self._infer(tensors, ["LATENTS", "MASKS", "WEIGHTS"])
        masks = tuple(answer.texts("MASKS", (len(images),)))
        if not all(masks):
            raise EngineRejected(STAGE, ENGINE, "a box came back without a mask")
        return EncodedFaces(answer.numbers("LATENTS", (len(images), 8, 32, 32)), masks, _weights(answer))

    async def _infer(self, tensors: dict[str, np.ndarray[Any, Any]], outputs: list[str]) -> Answer:
        async def ask(attempt: Attempt) -> Answer:
            with attempt.current():
                return await self._triton.infer(MODEL, tensors, outputs)

        # The deadline of a call is a little shorter than that of the attempt, so that its own error is told.
        return await policy.call(STAGE, ENGINE, ask, self._limits, self._timeout_s + 1, live=False)


def _texts(values: Sequence[bytes]) -> np.ndarray[Any, Any]:
    tensor = np.empty(len(values), np.object_)
    tensor[:] = values
    return tensor


def _weights(answer: Answer) -> Weights:
    tier, vae_sha256 = answer.texts("WEIGHTS", (2,))
    try:
        return Weights(tier.decode(), vae_sha256.decode())
    except UnicodeDecodeError as error:
        raise malformed(STAGE, "WEIGHTS are no texts") from error


def _box(edges: list[int]) -> Box:
    x1, y1, x2, y2 = edges
    return x1, y1, x2, y2


def _blank() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG")
    return file.getvalue()


BLANK = _blank()
"""A picture to ask with what is the same for all pictures."""
