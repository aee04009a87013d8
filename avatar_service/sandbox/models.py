"""The three models of the sandbox, each in its own thread."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from avatar_service.sandbox.audio import Samples
from avatar_service.sandbox.hibari import HibariVoice, SpeakingModel
from avatar_service.sandbox.replay import Replay
from avatar_service.sandbox.smollm import SmolLm
from avatar_service.sandbox.tone import ToneVoice
from avatar_service.sandbox.transcript import Hearing, Segment
from avatar_service.sandbox.whisper import Whisper
from avatar_service.sandbox.worker import Cancelled, Worker


class Listener(Protocol):
    """What transcribes."""

    def transcribe(self, audio: Samples, hearing: Hearing, cancelled: Cancelled) -> Iterator[Segment]:
        """Yield what is said in 16 kHz audio [samples], window by window."""
        ...


@dataclass(frozen=True, slots=True)
class Models:
    """The workers; owned by the sandbox that made them. ``workers`` are those that are needed."""

    whisper: Worker[Listener]
    smollm: Worker[SmolLm]
    hibari: Worker[SpeakingModel]
    workers: tuple[Worker[Any], ...]

    @classmethod
    def create(cls, queue_capacity: int, replay: Replay | None = None) -> "Models":
        """Make the workers; nothing is loaded before ``start``, and nothing for what is replayed."""
        whisper: Worker[Listener] = Worker(
            "whisper", Whisper.load if replay is None else lambda: replay, capacity=queue_capacity
        )
        smollm = Worker("smollm", SmolLm.load, capacity=queue_capacity)
        speaks_tone = replay is not None and replay.speech == "tone"
        hibari: Worker[SpeakingModel] = Worker(
            "hibari", ToneVoice if speaks_tone else HibariVoice.load, capacity=queue_capacity
        )
        return cls(whisper, smollm, hibari, (whisper, smollm, hibari) if replay is None else (whisper, hibari))

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
