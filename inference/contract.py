"""The tensors of the Triton models ``musetalk`` and ``prepare``, as ``model_repository/README.md`` explains them.

A model compares its ``config.pbtxt`` with its table when it starts; the service compares what Triton reports.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MODEL_NAME = "musetalk"
ANY = -1  # of a shape: one value a sample, or one a frame


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor's name, Triton type and shape; of a batched model without the batch dimension, 1 in every request."""

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


@dataclass(frozen=True, slots=True)
class ModelContract:
    """A model's name and tensors, and whether Triton puts requests of several callers into one batch."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool


MUSETALK = ModelContract(MODEL_NAME, INPUTS, OUTPUTS, batched=True)
PREPARE = ModelContract(
    "prepare",
    (
        TensorSpec("IMAGES", "TYPE_STRING", (ANY,)),
        TensorSpec("BOXES", "TYPE_INT32", (ANY, 4), optional=True),
        TensorSpec("BOX_SHIFT", "TYPE_INT32", (1,), optional=True),
    ),
    (
        TensorSpec("BOXES", "TYPE_INT32", (ANY, 4)),
        TensorSpec("FACES", "TYPE_FP32", (ANY,)),
        TensorSpec("LATENTS", "TYPE_FP32", (ANY, 8, 32, 32)),
        TensorSpec("MASKS", "TYPE_STRING", (ANY,)),
        TensorSpec("WEIGHTS", "TYPE_STRING", (2,)),
    ),
    batched=False,
)


def check_config(config: Mapping[str, Any], contract: ModelContract = MUSETALK) -> None:
    """Raise ValueError, naming the entry, unless a model configuration (as Triton's JSON) fits the contract."""
    if config.get("model_transaction_policy", {}).get("decoupled", False):
        raise ValueError("config.pbtxt: model_transaction_policy.decoupled must be false; one request has one answer")
    batch = int(config.get("max_batch_size", 0))
    if not contract.batched and batch != 0:
        raise ValueError("config.pbtxt: max_batch_size must be 0, a request is answered by itself")
    if contract.batched and batch < 1:
        raise ValueError("config.pbtxt: max_batch_size must be at least 1, requests of several sessions share a batch")
    _check_tensors("input", contract.inputs, config.get("input", ()), contract.batched)
    _check_tensors("output", contract.outputs, config.get("output", ()), contract.batched)


def _check_tensors(
    kind: str, expected: Sequence[TensorSpec], entries: Sequence[Mapping[str, Any]], batched: bool
) -> None:
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
        if batched and kind == "input" and spec.ragged and not entry.get("allow_ragged_batch", False):
            raise ValueError(f"config.pbtxt: input {spec.name}: allow_ragged_batch must be true")
