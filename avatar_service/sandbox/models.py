"""The three models of the sandbox, each in its own thread."""

import os
import time
from dataclasses import dataclass
from typing import Any

from avatar_service.sandbox.hibari import HibariVoice
from avatar_service.sandbox.smollm import SmolLm
from avatar_service.sandbox.whisper import Whisper
from avatar_service.sandbox.worker import Worker


@dataclass(frozen=True, slots=True)
class Models:
    """The workers; owned by the sandbox that made them."""

    whisper: Worker[Whisper]
    smollm: Worker[SmolLm]
    hibari: Worker[HibariVoice]

    @classmethod
    def create(cls, queue_capacity: int) -> "Models":
        """Make the workers; nothing is loaded before ``start``."""
        return cls(
            Worker("whisper", Whisper.load, capacity=queue_capacity),
            Worker("smollm", SmolLm.load, capacity=queue_capacity),
            Worker("hibari", HibariVoice.load, capacity=queue_capacity),
        )

    @property
    def workers(self) -> tuple[Worker[Any], ...]:
        """All workers."""
        return (self.whisper, self.smollm, self.hibari)

    def start(self) -> None:
        """Begin to load all models at once."""
        # onnxruntime's wheels report to their maker and keep a device id in HOME unless this is set before they load.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        for worker in self.workers:
            worker.start()

    async def loaded(self) -> None:
        """Wait for all models; raises what a failing one raised."""
        for worker in self.workers:
            await worker.loaded()

    def cancel_all(self) -> None:
        """Stop what every model is doing and refuse more."""
        for worker in self.workers:
            worker.cancel_all()

    async def aclose(self, timeout_s: float) -> list[str]:
        """Join all threads; returns the names of those that still run after ``timeout_s``."""
        self.cancel_all()
        deadline_s = time.monotonic() + timeout_s
        return [worker.name for worker in self.workers if not await worker.aclose(deadline_s - time.monotonic())]
