"""The model refuses to start with a config.pbtxt that does not fit the engine."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from inference.contract import MUSETALK, PREPARE, ModelContract, check_config


def config(contract: ModelContract = MUSETALK) -> dict[str, Any]:
    return {
        "max_batch_size": 8 if contract.batched else 0,
        "input": [
            {
                "name": spec.name,
                "data_type": spec.data_type,
                "dims": [str(value) for value in spec.dims],  # Triton's JSON has int64 as strings
                "allow_ragged_batch": contract.batched and spec.ragged,
                "optional": spec.optional,
            }
            for spec in contract.inputs
        ],
        "output": [
            {"name": spec.name, "data_type": spec.data_type, "dims": list(spec.dims)} for spec in contract.outputs
        ],
    }


@pytest.mark.parametrize("contract", [MUSETALK, PREPARE], ids=["musetalk", "prepare"])
def test_the_contract_itself_passes(contract: ModelContract) -> None:
    check_config(config(contract), contract)


def test_preparation_is_not_batched() -> None:
    with pytest.raises(ValueError, match="max_batch_size must be 0"):
        check_config(config(PREPARE) | {"max_batch_size": 8}, PREPARE)
    with pytest.raises(ValueError, match=r"input AUDIO is not part of the contract"):
        check_config(config() | {"max_batch_size": 0}, PREPARE)


FAULTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "decoupled must be false": lambda c: c.update(model_transaction_policy={"decoupled": True}),
    "max_batch_size must be at least 1": lambda c: c.update(max_batch_size=0),
    "input AUDIO is missing": lambda c: c["input"].pop(0),
    "input SPEED is not part": lambda c: c["input"].append({"name": "SPEED", "data_type": "TYPE_FP32", "dims": [1]}),
    r"input AUDIO is TYPE_FP32 \[-1\], the engine needs TYPE_INT16 \[-1\]": lambda c: c["input"][0].update(
        data_type="TYPE_FP32"
    ),
    r"input AUDIO_START is TYPE_INT64 \[2\]": lambda c: c["input"][1].update(dims=["2"]),
    "input AUDIO: allow_ragged_batch": lambda c: c["input"][0].update(allow_ragged_batch=False),
    "input FORMAT: optional must be true": lambda c: c["input"][-1].update(optional=False),
    "output RENDERED is missing": lambda c: c["output"].pop(),
}


@pytest.mark.parametrize(("message", "fault"), FAULTS.items(), ids=list(FAULTS))
def test_a_difference_is_named(message: str, fault: Callable[[dict[str, Any]], object]) -> None:
    changed = copy.deepcopy(config())
    fault(changed)
    with pytest.raises(ValueError, match=message):
        check_config(changed)
