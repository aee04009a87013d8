"""A model that loads in no time, for tests of how Triton starts and stops."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from inference.parent_watch import ParentWatch


class TritonPythonModel:
    """Loads unless its folder of weights is missing."""

    def initialize(self, args: dict[str, str]) -> None:
        """Raise ValueError if MUSETALK_MODEL_DIR names no folder."""
        self.parent_watch = ParentWatch()
        folder = os.environ.get("MUSETALK_MODEL_DIR", "")
        if folder and not Path(folder).is_dir():
            raise ValueError(f"no weights in {folder}")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Nothing is rendered."""
        rendered = pb_utils.Tensor("RENDERED", np.zeros((1, 1), np.int32))
        return [pb_utils.InferenceResponse([rendered]) for _ in requests]

    def finalize(self) -> None:
        """End as the real model does."""
        self.parent_watch.close()
