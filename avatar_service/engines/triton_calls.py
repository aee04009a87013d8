"""Calls to a model in Triton, as every adapter makes them.

A request that was sent is never cancelled: this Triton can crash when a call is cancelled under it. Whoever waited may
go; the call runs to its end in a task group of its own and its result is dropped.

The calls are made on Triton's own messages: tritonclient's layers above them cost as much again as gRPC itself.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from opentelemetry.trace import SpanKind
from tritonclient.grpc.service_pb2 import ModelInferRequest, ModelMetadataRequest
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub
from tritonclient.utils import np_to_triton_dtype

from avatar_service import tracing
from avatar_service.engines.triton_answers import ENGINE, LENGTH_BYTES, Answer, failure
from avatar_service.errors import EngineError, EngineTimeout, EngineUnavailable, Fault, StartupError
from avatar_service.log import get_logger

log = get_logger(__name__)

CONNECTING = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.lb_policy_name", "round_robin"),
)
"""A Triton that is back is found within half a second; gRPC's own defaults grow to two minutes. The last one bounds an
attempt to connect, to a machine that answers nothing. Messages are as long as they are. Of several Tritons behind one
name the requests go to one after the other: any of them can answer any request."""
ABANDONED_S = 60.0
"""How long after its time limit a call still holds its place: what has not come by then is not coming, from a server
that hangs or a machine that is gone, and only there is a call cancelled."""


class TritonCalls:
    """A connection for the calls of one stage. Use as `async with`; leaving waits for the calls in flight.

    At most `in_flight` may run at once, those whose result nobody awaits any more included.
    """

    def __init__(self, stage: str, address: str, timeout_s: float, in_flight: int) -> None:
        self._stage = stage
        self._address = address
        self._timeout_s = timeout_s
        self._limit = in_flight
        self._calls = asyncio.TaskGroup()
        self._in_flight = 0

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._address, options=CONNECTING)
        self._triton = GRPCInferenceServiceStub(self._channel)
        await self._calls.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # After that time Triton answers nothing any more, and cancelling does no harm.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    # Without the error that leaves the block: with it the group would cancel the calls in flight.
                    await self._calls.__aexit__(None, None, None)
        finally:
            await self._channel.close()

    async def serves(self, model: str, inputs: Mapping[str, str], within_s: float) -> bool:
        """Whether Triton answers and has loaded a model. Raises StartupError if that takes other tensors than `inputs`,
        which are their names and types."""
        try:
            async with asyncio.timeout(within_s):
                metadata = await self._triton.ModelMetadata(ModelMetadataRequest(name=model))
        except (grpc.RpcError, TimeoutError):
            return False
        served = {tensor.name: tensor.datatype for tensor in metadata.inputs}
        if wrong := [name for name, kind in inputs.items() if served.get(name) != kind]:
            raise StartupError(
                f"AVATAR_TRITON_ADDRESS: the model {model!r} at {self._address} does not take {', '.join(wrong)} as "
                "model_repository/README.md says; serve the model of this release"
            )
        return True

    async def infer(self, model: str, tensors: Mapping[str, np.ndarray[Any, Any]], outputs: Sequence[str]) -> Answer:
        """One request within the time limit. Raises EngineError."""
        if self._in_flight >= self._limit:
            raise EngineUnavailable(self._stage, ENGINE, f"{self._limit} calls are in flight", Fault.OVERLOADED)
        self._in_flight += 1
        call = self._calls.create_task(self._call(model, tensors, outputs))
        try:
            async with asyncio.timeout(self._timeout_s):
                outcome = await asyncio.shield(call)
        except TimeoutError as error:
            raise EngineTimeout(self._stage, ENGINE, f"no answer within {self._timeout_s:g} s") from error
        if isinstance(outcome, EngineError):
            raise outcome
        return outcome

    async def _call(
        self, model: str, tensors: Mapping[str, np.ndarray[Any, Any]], outputs: Sequence[str]
    ) -> Answer | EngineError:
        """One call; errors are returned, since raising would end the group and every other call with it."""
        about: tracing.Attributes = {
            tracing.SYSTEM: "grpc",
            tracing.METHOD: tracing.TRITON,
            tracing.TRITON_MODEL: model,
            **tracing.server(self._address),
        }
        try:
            request = _request(model, tensors, outputs)
            with tracing.below(tracing.TRITON, about, SpanKind.CLIENT):
                response = await self._triton.ModelInfer(
                    request, timeout=self._timeout_s + ABANDONED_S, metadata=tuple(tracing.headers().items())
                )
                return Answer(self._stage, response)
        except grpc.aio.AioRpcError as error:
            return failure(self._stage, error)
        except Exception as error:
            log.error("triton_call_failed", stage=self._stage, exc_info=error)
            return EngineUnavailable(self._stage, ENGINE, type(error).__name__)
        finally:
            self._in_flight -= 1


def _request(model: str, tensors: Mapping[str, np.ndarray[Any, Any]], outputs: Sequence[str]) -> ModelInferRequest:
    request = ModelInferRequest(model_name=model)
    for name, values in tensors.items():
        request.inputs.add(name=name, datatype=np_to_triton_dtype(values.dtype), shape=values.shape)
        request.raw_input_contents.append(_raw(values))
    for name in outputs:
        request.outputs.add(name=name)
    return request


def _raw(values: np.ndarray[Any, Any]) -> bytes:
    """A tensor's bytes; of texts, each behind its length."""
    if values.dtype != np.object_:
        return values.tobytes()
    return b"".join(len(text).to_bytes(LENGTH_BYTES, "little") + text for text in values.flat)
