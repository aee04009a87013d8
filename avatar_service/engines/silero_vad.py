"""Voice activity by Silero VAD v6, an LSTM of 1.2 MB.

A window by itself costs 54 us of a core, most of it for fetching the weights; of 16 together each costs 29. So the
windows of all sessions are judged together: those that come while one loop iteration runs, and where many sessions are
open, those of a few milliseconds.
"""

import asyncio
import math
import os
from pathlib import Path
from weakref import WeakSet

import numpy as np

from avatar_service import clock

# It sends telemetry, and keeps a device id in HOME, unless this stands in the environment before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
from numpy.typing import NDArray

MODEL = Path(__file__).parent / "assets/silero_vad_v6_batch.onnx"
"""The published graph for many windows at once; tools/batch_silero.py makes it."""
CONTEXT = 64
"""Samples of the window before that the model wants in front of each window of 512."""
WINDOW = 512
"""Samples that are judged at once."""
STATE = 128
"""Numbers of each of the two states of an LSTM."""
OUTPUTS = ("speech_probs", "hn", "cn")
FULL_SCALE = np.float32(1 / 32_768)
"""Of a sample, which the model wants from -1 to 1."""
TOGETHER = 32
"""Most windows in one run, which then takes 1 ms of the loop's time; more win nothing."""
PAUSE_A_SESSION_S = 0.000_2
LONGEST_PAUSE_S = 0.008
"""Between two runs, for each session beside the first, and at most: a session has a window every 32 ms, so that 40
sessions share runs of ten, and one session alone never waits."""


class SileroVad:
    """One model for all sessions of an event loop; each gets its own detector."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1  # threads would cost more than such short runs
        self._model = onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
        self._detectors = WeakSet[SileroDetector]()
        self._waiting: list[tuple[SileroDetector, asyncio.Future[float]]] = []
        self._ran_at_s = -math.inf

    def detector(self) -> "SileroDetector":
        """A detector with fresh state."""
        detector = SileroDetector(self)
        self._detectors.add(detector)
        return detector

    def judge(self, detector: "SileroDetector") -> "asyncio.Future[float]":
        """The probability of what a detector has heard last; one at a time of each detector."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            pause_s = min(LONGEST_PAUSE_S, PAUSE_A_SESSION_S * (len(self._detectors) - 1))
            loop.call_later(max(0.0, self._ran_at_s + pause_s - clock.now()), self._run)
        answer = loop.create_future()
        self._waiting.append((detector, answer))
        return answer

    def _run(self) -> None:
        """Judge what waits; what is too much for one run is judged in the loop's next iteration."""
        self._ran_at_s = clock.now()
        batch, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
        batch = [(detector, answer) for detector, answer in batch if not answer.done()]  # whose session is over is
        if not batch:
            return
        try:
            probabilities, hidden, cell = self._model.run(
                OUTPUTS,
                {
                    "input": np.stack([detector.heard for detector, _ in batch]),  # [windows, 576]
                    "h": np.stack([detector.hidden for detector, _ in batch], axis=1),  # [1, windows, 128]
                    "c": np.stack([detector.cell for detector, _ in batch], axis=1),
                },
            )
        except Exception as error:
            for _, answer in batch:
                answer.set_exception(error)
            return
        for index, (detector, answer) in enumerate(batch):
            # Copies: a view would keep the states of all of them for as long as one session stays silent.
            detector.hidden, detector.cell = hidden[:, index].copy(), cell[:, index].copy()
            answer.set_result(float(probabilities[index].item()))


class SileroDetector:
    """The state of one microphone."""

    def __init__(self, vad: SileroVad) -> None:
        self._vad = vad
        self.reset()

    def reset(self) -> None:
        """Forget what was heard so far."""
        self.hidden = np.zeros((1, STATE), np.float32)
        self.cell = np.zeros((1, STATE), np.float32)
        self.heard = np.zeros(CONTEXT + WINDOW, np.float32)
        """The last window, after the context before it."""

    def probability(self, window: NDArray[np.int16]) -> "asyncio.Future[float]":
        """How likely `window` (int16 [512], 16 kHz) holds speech, 0 to 1; to be awaited before the next one."""
        heard = self.heard
        heard[:CONTEXT] = heard[-CONTEXT:]
        np.multiply(window, FULL_SCALE, out=heard[CONTEXT:])
        return self._vad.judge(self)
