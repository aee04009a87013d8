"""Triton's side of preparation: unpack a request's pictures, let the preparer work on them, pack the answer.

Everything that is not about Triton lives in the package ``inference``, which must be installed where this runs. It is
imported and loaded at the first request: a server that prepares nothing pays nothing for this model.
"""

import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import triton_python_backend_utils as pb_utils

from inference.contract import PREPARE, check_config
from inference.parent_watch import ParentWatch

if TYPE_CHECKING:
    from inference.preparation.preparer import Preparer, PrepareRequest


class TritonPythonModel:
    """One instance of the model: one preparer, one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Check config.pbtxt against the contract.

        Raises an error, which Triton shows as the reason why the model is not available.
        """
        self.parent_watch = ParentWatch()
        config = json.loads(args["model_config"])
        check_config(config, PREPARE)
        self.parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        self.device = f"cuda:{args['model_instance_device_id']}" if args["model_instance_kind"] == "GPU" else "cpu"

    @cached_property
    def preparer(self) -> "Preparer":
        """Made at the first request."""
        from inference.preparation.preparer import Preparer, PreparerSettings
        from inference.weights import NANO_DIR

        folder = self.parameters["model_dir"] or os.environ.get("MUSETALK_MODEL_DIR") or NANO_DIR
        face_parser = self.parameters["face_parser"] or os.environ.get("MUSETALK_FACE_PARSER")
        return Preparer(
            PreparerSettings(
                model_dir=Path(folder),
                device=self.device,
                precision=self.parameters["precision"],
                threads=int(self.parameters["threads"]),
                face_parser=Path(face_parser) if face_parser else None,
            )
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request; one that cannot be answered gets an error of its own."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        from inference.preparation.face_models import FaceModelsError
        from inference.preparation.preparer import stack
        from inference.requests import InvalidRequest
        from inference.weights import WeightsError

        try:
            wanted = unpack(request)
            outputs = stack(self.preparer.prepare(wanted))
            outputs["WEIGHTS"] = np.array([value.encode() for value in self.preparer.weights], np.object_)
        except InvalidRequest as error:
            return failed(str(error), pb_utils.TritonError.INVALID_ARG)
        except (WeightsError, FaceModelsError) as error:
            return failed(str(error), pb_utils.TritonError.UNAVAILABLE)
        names = [spec.name for spec in PREPARE.outputs if spec.name in wanted.outputs]
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, outputs[name]) for name in names])

    def finalize(self) -> None:
        """Stop watching the server, which is about to end this process."""
        self.parent_watch.close()


def unpack(request: Any) -> "PrepareRequest":
    """The request's tensors."""
    from inference.preparation.preparer import PrepareRequest

    boxes = pb_utils.get_input_tensor_by_name(request, "BOXES")
    shift = pb_utils.get_input_tensor_by_name(request, "BOX_SHIFT")
    return PrepareRequest(
        images=tuple(pb_utils.get_input_tensor_by_name(request, "IMAGES").as_numpy()),
        boxes=None if boxes is None else boxes.as_numpy(),
        box_shift=0 if shift is None else int(shift.as_numpy()[0]),
        outputs=frozenset(request.requested_output_names()),
    )


def failed(message: str, code: int) -> Any:
    """An error as Triton's response."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
