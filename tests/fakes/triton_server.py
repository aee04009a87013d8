"""An inference server over a real socket that renders nothing: it answers as it is told, and records its calls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
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


@dataclass(repr=False)  # its requests are long
class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # untyped base
    """Answers after `delay_s` with `picture` for each frame of a request, or its index; `mel_max` rises by 0.25."""

    delay_s: float = 0.0
    picture: bytes = b""
    holds: bool = False
    """Whether it answers nothing until `released` is set."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    code: grpc.StatusCode | None = None
    model_ready: bool = True
    inputs: dict[str, str] = field(default_factory=lambda: dict(INPUTS))
    requests: list[dict[str, Any]] = field(default_factory=list)
    finished: int = 0
    cancelled: int = 0
    in_flight: int = 0
    most_in_flight: int = 0

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
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.holds:
                await self.released.wait()
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        self.finished += 1
        if self.code:
            await context.abort(self.code, "told to fail")
        frames = [self.picture or b"frame %d" % index for index in tensors["FRAME_INDEX"][0]]
        return response(frames, float(tensors["MEL_MAX"][0, 0]) + 0.25)


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


@asynccontextmanager
async def serving_triton(triton: Triton) -> AsyncIterator[str]:
    """Serve it on a free port; yields the address."""
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
