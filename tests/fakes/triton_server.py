"""An inference server over a real socket that renders nothing: it answers as it is told, and records its calls.

triton = Triton(script=[None, Fault.STUB_DEAD])  # the second request fails, the others are answered
triton.fault = Fault.HANG                         # from here on no request is answered
await triton.leave()                              # nobody listens any more, as after kill -9
await triton.come_back()                          # on the same port
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

INPUTS = {
    "AUDIO": "INT16",
    "AUDIO_START": "INT64",
    "AVATAR": "BYTES",
    "FRAME_INDEX": "INT32",
    "FRAME_START": "INT32",
    "MOUTH_WEIGHT": "FP32",
    "MEL_MAX": "FP32",
}
"""As model_repository/README.md states them."""
DTYPES = {"INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP32": np.float32}


JPEG = b"\xff\xd8\xff\xe0"
"""How a JPEG begins; pictures of this server hold nothing else but a text."""


class Fault(Enum):
    """What may be wrong with an answer."""

    UNAVAILABLE = auto()
    """Restarting: the connection stands, but no request is taken."""
    STUB_DEAD = auto()
    """The model's process is gone while the server counts as ready."""
    UNLOADED = auto()
    """The model was unloaded."""
    OUT_OF_MEMORY = auto()
    """An error of the model about this request."""
    QUEUE_FULL = auto()
    """More requests wait than may."""
    HANG = auto()
    """No answer."""
    SLOW = auto()
    """The answer takes `slow_s`."""
    NO_FRAMES = auto()
    """The tensor of pictures is missing."""
    NO_MAXIMUM = auto()
    """The tensor of the running maximum is missing."""
    WRONG_SHAPE = auto()
    """The tensors have other shapes than agreed."""
    TOO_FEW_FRAMES = auto()
    """A picture less than was asked for."""
    NOT_JPEG = auto()
    """Pictures that are none."""
    NOT_A_NUMBER = auto()
    """A running maximum that would spoil every request after it."""
    CUT_TENSOR = auto()
    """Bytes of a tensor end too soon."""


STATUSES = {
    Fault.UNAVAILABLE: (grpc.StatusCode.UNAVAILABLE, "Server is stopping, scheduler for model has stopped"),
    Fault.STUB_DEAD: (grpc.StatusCode.INTERNAL, "Stub process 'musetalk_0_0' is not healthy."),
    Fault.UNLOADED: (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'musetalk' has no available versions"),
    Fault.OUT_OF_MEMORY: (grpc.StatusCode.INTERNAL, "OutOfMemoryError: CUDA out of memory"),
    Fault.QUEUE_FULL: (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size"),
}
"""The faults that end a request with a status, as Triton 2.51 words them."""


@dataclass(repr=False)  # its requests are long
class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # untyped base
    """Answers after `delay_s` with `picture` for each frame of a request, or its index; `mel_max` rises by 0.25."""

    delay_s: float = 0.0
    picture: bytes = b""
    holds: bool = False
    """Whether it answers nothing until `released` is set."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    code: grpc.StatusCode | None = None
    fault: Fault | None = None
    """Of every request that `script` says nothing of."""
    script: list[Fault | None] = field(default_factory=list)
    """What becomes of the next requests, one after the other."""
    slow_s: float = 1.0
    model_ready: bool = True
    inputs: dict[str, str] = field(default_factory=lambda: dict(INPUTS))
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    """What came with each request beside its tensors."""
    finished: int = 0
    cancelled: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    address: str = ""
    _server: grpc.aio.Server | None = None

    async def come_back(self) -> None:
        """Listen, on the same port as before."""
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port(self.address or "127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        await self._server.start()

    async def leave(self) -> None:
        """Break off every call and listen no more; safe to repeat."""
        server, self._server = self._server, None
        if server:
            await server.stop(0)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802  # Triton's name
        """The model's tensors, if it is loaded."""
        if not self.model_ready:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no such model is ready")
        metadata = service_pb2.ModelMetadataResponse(name=request.name)
        for name, datatype in self.inputs.items():
            metadata.inputs.add(name=name, datatype=datatype, shape=[-1, -1])
        return metadata

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802  # Triton's name
        """Always."""
        return service_pb2.ServerReadyResponse(ready=True)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802  # Triton's name
        """Whether the model is loaded."""
        return service_pb2.ModelReadyResponse(ready=self.model_ready)

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802  # Triton's name
        """One render request."""
        tensors = tensors_of(request)
        self.requests.append(tensors)
        self.headers.append({key: value for key, value in context.invocation_metadata() if isinstance(value, str)})
        fault = self.script.pop(0) if self.script else self.fault
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.holds or fault is Fault.HANG:
                await self.released.wait()
            await asyncio.sleep(self.slow_s if fault is Fault.SLOW else self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        self.finished += 1
        if self.code:
            await context.abort(self.code, "told to fail")
        if fault in STATUSES:
            await context.abort(*STATUSES[fault])
        frames = [self.picture or b"%sframe %d" % (JPEG, index) for index in tensors["FRAME_INDEX"][0]]
        return spoiled(fault, frames, float(tensors["MEL_MAX"][0, 0]) + 0.25)


def tensors_of(request: Any) -> dict[str, Any]:
    """The inputs of a request as arrays, and the model's name."""
    tensors: dict[str, Any] = {"model": request.model_name}
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        if tensor.datatype == "BYTES":
            tensors[tensor.name] = raw[4:].decode()
        else:
            tensors[tensor.name] = np.frombuffer(raw, DTYPES[tensor.datatype]).reshape(tuple(tensor.shape))
    return tensors


def response(frames: list[bytes], mel_max: float) -> Any:
    """The outputs of model_repository/README.md."""
    answer = service_pb2.ModelInferResponse(model_name="musetalk")
    answer.outputs.add(name="FRAMES", datatype="BYTES", shape=[1, len(frames)])
    answer.raw_output_contents.append(b"".join(len(frame).to_bytes(4, "little") + frame for frame in frames))
    answer.outputs.add(name="MEL_MAX", datatype="FP32", shape=[1, 1])
    answer.raw_output_contents.append(np.float32(mel_max).tobytes())
    return answer


def spoiled(fault: Fault | None, frames: list[bytes], mel_max: float) -> Any:
    """The outputs with what is wrong with them, if anything is."""
    if fault is Fault.TOO_FEW_FRAMES:
        frames = frames[1:]
    if fault is Fault.NOT_JPEG:
        frames = [b"<html>" for _ in frames]
    answer = response(frames, float("nan") if fault is Fault.NOT_A_NUMBER else mel_max)
    if fault is Fault.WRONG_SHAPE:
        answer.outputs[0].shape[:] = [len(frames), 1]
    if fault is Fault.CUT_TENSOR:
        answer.raw_output_contents[0] = answer.raw_output_contents[0][:-1]
    if fault in (Fault.NO_FRAMES, Fault.NO_MAXIMUM):
        missing = 0 if fault is Fault.NO_FRAMES else 1
        del answer.outputs[missing]
        del answer.raw_output_contents[missing]
    return answer


@asynccontextmanager
async def serving_triton(triton: Triton) -> AsyncIterator[str]:
    """Serve it on a free port; yields the address."""
    await triton.come_back()
    try:
        yield triton.address
    finally:
        await triton.leave()
