"""What Triton answers, looked at before anybody uses it: outputs as they were agreed, and errors by what was wrong.

A server that answers wrongly must cost frames, never a turn: everything is an EngineError.
"""

import math
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc.service_pb2 import ModelInferResponse
from tritonclient.utils import triton_to_np_dtype

from avatar_service.errors import EngineError, EngineRejected, EngineUnavailable, Fault

ENGINE = "triton"
LENGTH_BYTES = 4
"""What stands before each text of a tensor of texts: its length, the lowest byte first."""
_FULL = ("maximum queue size", "timeout expired", "out of memory")
"""How Triton and the model word that there is too much to do."""


class Answer:
    """The outputs of one response."""

    def __init__(self, stage: str, response: ModelInferResponse) -> None:
        self._stage = stage
        self._outputs: dict[str, tuple[str, tuple[int, ...], bytes]] = {
            output.name: (output.datatype, tuple(output.shape), raw)
            for output, raw in zip(response.outputs, response.raw_output_contents, strict=False)  # checked by name
        }

    def numbers(self, name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """An output of numbers of this shape. Raises EngineUnavailable."""
        datatype, raw = self._output(name, shape)
        dtype = triton_to_np_dtype(datatype)
        if dtype is None or dtype is np.object_ or len(raw) != math.prod(shape) * np.dtype(dtype).itemsize:
            raise malformed(self._stage, f"{name} are not {math.prod(shape)} numbers of a known type")
        return np.frombuffer(raw, dtype).reshape(shape)

    def texts(self, name: str, shape: tuple[int, ...]) -> list[bytes]:
        """The texts of an output of this shape, or what else it has as bytes, in order. Raises EngineUnavailable."""
        datatype, raw = self._output(name, shape)
        texts, end = list[bytes](), 0
        while end < len(raw):
            begin = end + LENGTH_BYTES
            end = begin + int.from_bytes(raw[end:begin], "little")
            texts.append(raw[begin:end])
        if datatype != "BYTES" or end != len(raw) or len(texts) != math.prod(shape):
            raise malformed(self._stage, f"{name} are not {math.prod(shape)} whole texts")
        return texts

    def _output(self, name: str, shape: tuple[int, ...]) -> tuple[str, bytes]:
        datatype, given, raw = self._outputs.get(name, ("", (), b""))
        if not datatype or given != shape:
            raise malformed(self._stage, f"{name} is not of shape {list(shape)}")
        return datatype, raw


def malformed(stage: str, message: str) -> EngineUnavailable:
    """An answer that is not what was agreed."""
    return EngineUnavailable(stage, ENGINE, message, Fault.MALFORMED)


def failure(stage: str, error: grpc.aio.AioRpcError) -> EngineError:
    """The error that stands for a status of Triton's."""
    code, told = error.code(), str(error.details())
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return EngineRejected(stage, ENGINE, told)
    is_away = code is grpc.StatusCode.UNAVAILABLE and not any(words in told.lower() for words in _FULL)
    return EngineUnavailable(stage, ENGINE, f"{code}: {told}", Fault.CONNECTION if is_away else Fault.OVERLOADED)
