"""Lip-sync by the model in Triton; the only module that knows Triton's client.

A request that was sent is never cancelled: this Triton can crash when a call is cancelled under it. Whoever waited may
go; the call runs to its end in the adapter's own task group and its result is dropped.
"""

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from tritonclient.grpc import InferInput, InferRequestedOutput, InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from avatar_service import clock, metrics
from avatar_service.engines.attempt import Attempt
from avatar_service.engines.base import RenderedSpan, RenderRequest
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable, StartupError
from avatar_service.settings import TritonSettings

STAGE = "animate"
ENGINE = "triton"
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


class TritonLipSync:
    """Use as `async with`; leaving waits for the calls in flight."""

    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings
        self._calls = asyncio.TaskGroup()
        self._in_flight = 0
        self.answered_at_s = 0.0
        """When the last frames came, on the loop's clock."""

    async def __aenter__(self) -> Self:
        self._client = InferenceServerClient(self._settings.address)
        await self._calls.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # After that time Triton answers nothing any more, and cancelling does no harm.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.timeout_s):
                    # Without the error that leaves the block: with it the group would cancel the calls in flight.
                    await self._calls.__aexit__(None, None, None)
        finally:
            await self._client.close()

    async def ready(self) -> bool:
        """Whether Triton answers and has loaded the model. Raises StartupError if the model takes other tensors."""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                metadata = await self._client.get_model_metadata(self._settings.model)
        except (InferenceServerException, grpc.RpcError, TimeoutError):
            return False
        served = {tensor.name: tensor.datatype for tensor in metadata.inputs}
        if wrong := [name for name, kind in INPUTS.items() if served.get(name) != kind]:
            raise StartupError(
                f"AVATAR_TRITON_MODEL: {self._settings.model!r} does not take {', '.join(wrong)} as "
                "model_repository/README.md says; serve the model of this release"
            )
        return True

    async def probe(self, avatar_key: str) -> float:
        """Render one frame of silence; returns how long that took, in seconds. Raises EngineError.

        Triton's own readiness stays true when the model's process is dead.
        """
        began_s = clock.now()
        left, frame, look_ahead = PROBE_SAMPLES
        await self.render(
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
        if self._in_flight >= MAX_IN_FLIGHT:
            raise EngineUnavailable(STAGE, ENGINE, f"{MAX_IN_FLIGHT} calls are in flight")
        self._in_flight += 1
        call = self._calls.create_task(self._call(request))
        attempt = Attempt(STAGE, ENGINE)
        try:
            with attempt:
                rendered = await self._rendered_in_time(call)
                attempt.output()
                return rendered
        finally:
            if attempt.outcome in HEALTH:
                metrics.TRITON_READY.set(HEALTH[attempt.outcome])

    async def _rendered_in_time(self, call: asyncio.Task[RenderedSpan | EngineError]) -> RenderedSpan:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                outcome = await asyncio.shield(call)
        except TimeoutError as error:
            raise EngineTimeout(STAGE, ENGINE, f"no frames within {self._settings.timeout_s:g} s") from error
        if isinstance(outcome, EngineError):
            raise outcome
        self.answered_at_s = clock.now()
        return outcome

    async def _call(self, request: RenderRequest) -> RenderedSpan | EngineError:
        """One call; errors are returned, since raising would end the group and every other call with it."""
        try:
            outputs = [InferRequestedOutput(name) for name in _OUTPUTS]
            return _rendered(await self._client.infer(self._settings.model, _inputs(request), outputs=outputs))
        except InferenceServerException as error:
            if error.status() == "StatusCode.INVALID_ARGUMENT":
                return EngineRejected(STAGE, ENGINE, error.message())
            return EngineUnavailable(STAGE, ENGINE, f"{error.status()}: {error.message()}")
        except grpc.RpcError as error:
            return EngineUnavailable(STAGE, ENGINE, type(error).__name__)
        finally:
            self._in_flight -= 1


def _inputs(request: RenderRequest) -> list[InferInput]:
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
    inputs = []
    for name, values in tensors.items():
        tensor = InferInput(name, [1, len(values)], INPUTS[name])
        tensor.set_data_from_numpy(values[None])
        inputs.append(tensor)
    return inputs


def _rendered(result: InferResult) -> RenderedSpan:
    return RenderedSpan(images=tuple(result.as_numpy("FRAMES")[0]), mel_max=float(result.as_numpy("MEL_MAX")[0, 0]))
