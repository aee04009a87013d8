"""Lip-sync by the model in Triton; the only module that knows Triton's client.

A request that was sent is never cancelled: this Triton can crash when a call is cancelled under it. Whoever waited may
go; the call runs to its end in the adapter's own task group and its result is dropped.
"""

import asyncio
from types import TracebackType
from typing import Self

import grpc
import numpy as np
from tritonclient.grpc import InferInput, InferRequestedOutput, InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from avatar_service.engines.base import RenderedSpan, RenderRequest
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable
from avatar_service.settings import TritonSettings

STAGE = "animate"
ENGINE = "triton"
MAX_IN_FLIGHT = 256
"""Calls that may run at once over all sessions, those whose result nobody awaits any more included."""
_OUTPUTS = ("FRAMES", "MEL_MAX")


class TritonLipSync:
    """Use as `async with`; leaving waits for the calls in flight."""

    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings
        self._calls = asyncio.TaskGroup()
        self._in_flight = 0

    async def __aenter__(self) -> Self:
        self._client = InferenceServerClient(self._settings.address)
        await self._calls.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._calls.__aexit__(kind, error, trace)
        finally:
            await self._client.close()

    async def ready(self) -> bool:
        """Whether Triton answers and has loaded the model."""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return bool(await self._client.is_model_ready(self._settings.model))
        except (InferenceServerException, grpc.RpcError, TimeoutError):
            return False

    async def render(self, request: RenderRequest) -> RenderedSpan:
        """Render the frames of one request. Raises EngineError."""
        if self._in_flight >= MAX_IN_FLIGHT:
            raise EngineUnavailable(STAGE, ENGINE, f"{MAX_IN_FLIGHT} calls are in flight")
        call = self._calls.create_task(self._call(request))
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                outcome = await asyncio.shield(call)
        except TimeoutError as error:
            raise EngineTimeout(STAGE, ENGINE, f"no frames within {self._settings.timeout_s:g} s") from error
        if isinstance(outcome, EngineError):
            raise outcome
        return outcome

    async def _call(self, request: RenderRequest) -> RenderedSpan | EngineError:
        """One call; errors are returned, since raising would end the group and every other call with it."""
        self._in_flight += 1
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
    """The tensors of model_repository/README.md, each with a batch axis of 1."""
    tensors = (
        ("AUDIO", "INT16", request.span),
        ("AUDIO_START", "INT64", np.array([request.span_start], np.int64)),
        ("AVATAR", "BYTES", np.array([request.avatar.encode()], np.object_)),
        ("FRAME_INDEX", "INT32", np.array(request.frame_indices, np.int32)),
        ("FRAME_START", "INT32", np.array(request.frame_starts, np.int32)),
        ("MOUTH_WEIGHT", "FP32", np.array(request.mouth_weights, np.float32)),
        ("MEL_MAX", "FP32", np.array([request.mel_max], np.float32)),
    )
    inputs = []
    for name, kind, values in tensors:
        tensor = InferInput(name, [1, len(values)], kind)
        tensor.set_data_from_numpy(values[None])
        inputs.append(tensor)
    return inputs


def _rendered(result: InferResult) -> RenderedSpan:
    return RenderedSpan(images=tuple(result.as_numpy("FRAMES")[0]), mel_max=float(result.as_numpy("MEL_MAX")[0, 0]))
