"""Lip-sync by the model in Triton."""

import math
from types import TracebackType
from typing import Any, Self

import numpy as np

from avatar_service import clock, metrics
from avatar_service.engines.attempt import Attempt
from avatar_service.engines.base import RenderedSpan, RenderRequest
from avatar_service.engines.triton_answers import ENGINE, Answer, malformed
from avatar_service.engines.triton_calls import TritonCalls
from avatar_service.errors import EngineError, Fault
from avatar_service.settings import TritonSettings

STAGE = "animate"
MAX_IN_FLIGHT = 256
"""Calls that may run at once over all sessions, those whose result nobody awaits any more included."""
HEALTH = {"ok": 1, "timeout": 0, "unavailable": 0}
"""What the end of a render request says of Triton; a refused or cancelled one says nothing."""
PROBE_SAMPLES = (16_000, 640, 3_840)
"""Span of one frame at 25 fps, as model_repository/README.md has it: left context, the frame's own time, look-ahead."""
PROBE_MEL_MAX = 0.5
"""Running maximum at the start of a segment."""
INPUTS = {
    "AUDIO": "INT16",
    "AUDIO_START": "INT64",
    "AVATAR": "BYTES",
    "FRAME_INDEX": "INT32",
    "FRAME_START": "INT32",
    "MOUTH_WEIGHT": "FP32",
    "MEL_MAX": "FP32",
}
"""The tensors of a request and their types, as model_repository/README.md states them."""
_OUTPUTS = ("FRAMES", "MEL_MAX")
_JPEG = b"\xff\xd8\xff"
"""How a picture begins."""
UNANSWERED_S = 5.0
"""A request that nobody waits for any more says something of Triton after all if it had so long to be answered."""
RESENT_WITHIN_S = 0.25
"""A request whose connection broke so soon is sent once more at once: its frames still come in time where another
server answers at the same address, and a request keeps nothing in the server. Not while requests fail anyway."""


class TritonLipSync:
    """Use as `async with`; leaving waits for the calls in flight."""

    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings
        self._triton = TritonCalls(STAGE, settings.address, settings.timeout_s, MAX_IN_FLIGHT)
        self.answered_at_s = 0.0
        """When the last frames came, on the loop's clock."""
        self.fails = False
        """Whether the last request failed, for a reason that lies with Triton."""

    async def __aenter__(self) -> Self:
        await self._triton.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._triton.__aexit__(kind, error, trace)

    async def ready(self) -> bool:
        """Whether Triton answers and has loaded the model. Raises StartupError if the model takes other tensors."""
        return await self._triton.serves(self._settings.model, INPUTS, self._settings.timeout_s)

    async def probe(self, avatar_key: str) -> float:
        """Render one frame of silence; returns how long that took, in seconds. Raises EngineError.

        Triton's own readiness stays true when the model's process is dead.
        """
        began_s = clock.now()
        left, frame, look_ahead = PROBE_SAMPLES
        await self._attempt(
            RenderRequest(
                avatar=avatar_key,
                span=np.zeros(left + frame + look_ahead, np.int16),
                span_start=-left,
                frame_indices=(0,),
                frame_starts=(left,),
                mouth_weights=(1.0,),
                mel_max=PROBE_MEL_MAX,
            )
        )
        return clock.now() - began_s

    async def render(self, request: RenderRequest) -> RenderedSpan:
        """Render the frames of one request. Raises EngineError."""
        began_s, was_well = clock.now(), not self.fails
        try:
            return await self._attempt(request)
        except EngineError as error:
            in_time = clock.now() - began_s <= RESENT_WITHIN_S
            if not (was_well and in_time and error.fault is Fault.CONNECTION):
                raise
        metrics.RETRIES.labels(STAGE, ENGINE).inc()
        return await self._attempt(request, number=2)

    async def _attempt(self, request: RenderRequest, number: int = 1) -> RenderedSpan:
        attempt, began_s = Attempt(STAGE, ENGINE, number, of=2), clock.now()
        try:
            with attempt:
                with attempt.current():
                    answer = await self._triton.infer(self._settings.model, _tensors(request), _OUTPUTS)
                rendered = _rendered(answer, len(request.frame_indices))
                self.answered_at_s = clock.now()
                attempt.output()
                attempt.received(sum(map(len, rendered.images)))
                return rendered
        except EngineError as error:
            metrics.FAULTS.labels(STAGE, ENGINE, error.fault.value).inc()
            raise
        finally:
            is_overdue = attempt.outcome == "cancelled" and clock.now() - began_s >= UNANSWERED_S
            if attempt.outcome in HEALTH or is_overdue:
                self.fails = not HEALTH.get(attempt.outcome, 0)
                metrics.TRITON_READY.set(not self.fails)


def _tensors(request: RenderRequest) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of a request, each with a batch axis of 1."""
    tensors: dict[str, np.ndarray[Any, Any]] = {
        "AUDIO": request.span,
        "AUDIO_START": np.array([request.span_start], np.int64),
        "AVATAR": np.array([request.avatar.encode()], np.object_),
        "FRAME_INDEX": np.array(request.frame_indices, np.int32),
        "FRAME_START": np.array(request.frame_starts, np.int32),
        "MOUTH_WEIGHT": np.array(request.mouth_weights, np.float32),
        "MEL_MAX": np.array([request.mel_max], np.float32),
    }
    return {name: values[None] for name, values in tensors.items()}


def _rendered(answer: Answer, frames: int) -> RenderedSpan:
    """The frames of an answer, if it is what was asked for. Raises EngineUnavailable."""
    images = tuple(answer.texts("FRAMES", (1, frames)))
    if not all(image.startswith(_JPEG) for image in images):
        raise malformed(STAGE, "FRAMES are no JPEGs")
    mel_max = float(answer.numbers("MEL_MAX", (1, 1))[0, 0])
    if not math.isfinite(mel_max):
        raise malformed(STAGE, "MEL_MAX is no number")
    return RenderedSpan(images, mel_max)
