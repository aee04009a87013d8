"""A model that loads in no time, for tests of how Triton starts and stops."""

import os
from pathlib import Path
from typing import Any

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
        """Nobody asks."""
        raise NotImplementedError

    def finalize(self) -> None:
        """End as the real model does."""
        self.parent_watch.close()
