"""Triton's side of MuseTalk: unpack the requests, let the engine render them, pack the answers.

Everything that is not about Triton lives in the package ``inference``, which must be installed where this runs.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from inference.avatar_store import AVATARS_DIR
from inference.contract import check_config
from inference.engine import Engine, EngineSettings
from inference.parent_watch import ParentWatch
from inference.requests import RenderError, RenderRequest, RenderResult
from inference.weights import NANO_DIR


class TritonPythonModel:
    """One instance of the model: one engine, one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Check config.pbtxt against the contract, load the weights and run every shape once.

        Raises an error, which Triton shows as the reason why the model is not available.
        """
        self.parent_watch = ParentWatch()
        config = json.loads(args["model_config"])
        check_config(config)
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        device = f"cuda:{args['model_instance_device_id']}" if args["model_instance_kind"] == "GPU" else "cpu"
        settings = EngineSettings.parse(device, parameters)
        self.engine = Engine.load(
            folders(parameters["model_dir"], "MUSETALK_MODEL_DIR", NANO_DIR)[0],
            folders(parameters["avatars_dir"], "MUSETALK_AVATARS_DIR", AVATARS_DIR),
            settings,
        )
        self.engine.warm_up()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch; a request that cannot be answered gets an error of its own."""
        unpacked = [unpack(request) for request in requests]
        valid = [each for each in unpacked if isinstance(each, RenderRequest)]
        answers = iter(self.engine.render(valid))
        return [pack(next(answers) if isinstance(each, RenderRequest) else each) for each in unpacked]

    def finalize(self) -> None:
        """Stop watching the server, which is about to end this process."""
        self.parent_watch.close()


def folders(parameter: str, variable: str, default: Path) -> list[Path]:
    """The folders that a parameter names, several joined by ":"; else those of the environment; else the default."""
    names = parameter or os.environ.get(variable, "")
    return [Path(name) for name in names.split(":") if name] or [default]


def unpack(request: Any) -> RenderRequest | RenderError:
    """The request's tensors, each without its batch dimension of 1."""
    tensors: dict[str, Any] = {}
    for name in ("AUDIO", "AUDIO_START", "AVATAR", "FRAME_INDEX", "FRAME_START", "MOUTH_WEIGHT", "MEL_MAX", "FORMAT"):
        tensor = pb_utils.get_input_tensor_by_name(request, name)
        if tensor is not None:
            array = tensor.as_numpy()
            if len(array) != 1:
                return RenderError(name, f"{name}: batch dimension {len(array)}, send one segment a request")
            tensors[name] = array[0]
    return RenderRequest(
        avatar=text(tensors["AVATAR"][0]),
        audio=tensors["AUDIO"],
        audio_start=int(tensors["AUDIO_START"][0]),
        frame_index=tuple(tensors["FRAME_INDEX"].tolist()),
        frame_start=tuple(tensors["FRAME_START"].tolist()),
        mouth_weight=tuple(tensors["MOUTH_WEIGHT"].tolist()),
        mel_max=float(tensors["MEL_MAX"][0]),
        format=text(tensors["FORMAT"][0]) if "FORMAT" in tensors else "jpeg",
    )


def text(value: bytes) -> str:
    """A BYTES element as text; what is not UTF-8 is refused later, with the field's name."""
    return value.decode("utf-8", "replace")


def pack(answer: RenderResult | RenderError) -> Any:
    """The answer as Triton's response."""
    if isinstance(answer, RenderError):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(answer.message, pb_utils.TritonError.INVALID_ARG))
    return pb_utils.InferenceResponse(
        [
            pb_utils.Tensor("FRAMES", np.array([answer.frames], dtype=np.object_)),
            pb_utils.Tensor("MEL_MAX", np.array([[answer.mel_max]], dtype=np.float32)),
            pb_utils.Tensor("RENDERED", np.array([[answer.rendered]], dtype=np.int32)),
        ]
    )
