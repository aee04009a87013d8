"""The tensors of the Triton model ``musetalk``, as ``model_repository/README.md`` explains them.

The model compares its ``config.pbtxt`` with this table when it starts; the service compares what Triton reports.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MODEL_NAME = "musetalk"
ANY = -1  # of a shape: one value a sample, or one a frame


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor's name, Triton type and shape without the batch dimension, which is 1 in every request."""

    name: str
    data_type: str
    dims: tuple[int, ...]
    optional: bool = False

    @property
    def ragged(self) -> bool:
        """Whether requests of one batch may differ in its length."""
        return ANY in self.dims


INPUTS = (
    TensorSpec("AUDIO", "TYPE_INT16", (ANY,)),
    TensorSpec("AUDIO_START", "TYPE_INT64", (1,)),
    TensorSpec("AVATAR", "TYPE_STRING", (1,)),
    TensorSpec("FRAME_INDEX", "TYPE_INT32", (ANY,)),
    TensorSpec("FRAME_START", "TYPE_INT32", (ANY,)),
    TensorSpec("MOUTH_WEIGHT", "TYPE_FP32", (ANY,)),
    TensorSpec("MEL_MAX", "TYPE_FP32", (1,)),
    TensorSpec("FORMAT", "TYPE_STRING", (1,), optional=True),
)
OUTPUTS = (
    TensorSpec("FRAMES", "TYPE_STRING", (ANY,)),
    TensorSpec("MEL_MAX", "TYPE_FP32", (1,)),
    TensorSpec("RENDERED", "TYPE_INT32", (1,)),
)


def check_config(config: Mapping[str, Any]) -> None:
    """Raise ValueError, naming the entry, unless a model configuration (as Triton's JSON) fits the contract."""
    if config.get("model_transaction_policy", {}).get("decoupled", False):
        raise ValueError("config.pbtxt: model_transaction_policy.decoupled must be false; one request has one answer")
    if int(config.get("max_batch_size", 0)) < 1:
        raise ValueError("config.pbtxt: max_batch_size must be at least 1, requests of several sessions share a batch")
    _check_tensors("input", INPUTS, config.get("input", ()))
    _check_tensors("output", OUTPUTS, config.get("output", ()))


def _check_tensors(kind: str, expected: Sequence[TensorSpec], entries: Sequence[Mapping[str, Any]]) -> None:
    found = {str(entry["name"]): entry for entry in entries}
    if unknown := sorted(found.keys() - {spec.name for spec in expected}):
        raise ValueError(f"config.pbtxt: {kind} {unknown[0]} is not part of the contract")
    for spec in expected:
        entry = found.get(spec.name)
        if entry is None:
            raise ValueError(f"config.pbtxt: {kind} {spec.name} is missing")
        dims = tuple(int(value) for value in entry["dims"])
        if (entry["data_type"], dims) != (spec.data_type, spec.dims):
            raise ValueError(
                f"config.pbtxt: {kind} {spec.name} is {entry['data_type']} {list(dims)}, "
                f"the engine needs {spec.data_type} {list(spec.dims)}"
            )
        if kind == "input" and bool(entry.get("optional", False)) != spec.optional:
            raise ValueError(f"config.pbtxt: input {spec.name}: optional must be {str(spec.optional).lower()}")
        if kind == "input" and spec.ragged and not entry.get("allow_ragged_batch", False):
            raise ValueError(f"config.pbtxt: input {spec.name}: allow_ragged_batch must be true")
