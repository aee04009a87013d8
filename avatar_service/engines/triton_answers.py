"""What Triton answers, looked at before anybody uses it: outputs as they were agreed, and errors by what was wrong.

A server that answers wrongly must cost frames, never a turn: everything is an EngineError.
"""

from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import InferResult
from tritonclient.utils import InferenceServerException

from avatar_service.errors import EngineError, EngineRejected, EngineUnavailable, Fault

ENGINE = "triton"
_FULL = ("maximum queue size", "timeout expired", "out of memory")
"""How Triton and the model word that there is too much to do."""


def tensor(result: InferResult, stage: str, name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """An output of this shape. Raises EngineUnavailable."""
    try:
        values = result.as_numpy(name)
    except Exception as error:  # the client parses what it was sent and checks nothing: any error is possible
        raise malformed(stage, f"{name} cannot be read ({type(error).__name__})") from error
    if values is None or values.shape != shape:
        raise malformed(stage, f"{name} is not of shape {list(shape)}")
    checked: np.ndarray[Any, Any] = values
    return checked


def malformed(stage: str, message: str) -> EngineUnavailable:
    """An answer that is not what was agreed."""
    return EngineUnavailable(stage, ENGINE, message, Fault.MALFORMED)


def failure(stage: str, error: InferenceServerException) -> EngineError:
    """The error that stands for a status of Triton's."""
    status, told = str(error.status()), str(error.message())
    if status == str(grpc.StatusCode.INVALID_ARGUMENT):
        return EngineRejected(stage, ENGINE, told)
    is_away = status == str(grpc.StatusCode.UNAVAILABLE) and not any(words in told.lower() for words in _FULL)
    return EngineUnavailable(stage, ENGINE, f"{status}: {told}", Fault.CONNECTION if is_away else Fault.OVERLOADED)
