"""Voice activity by Silero VAD v6, an LSTM of 1.2 MB that costs 3 ms of a core for a second of audio."""

import os
from pathlib import Path

import numpy as np

# It sends telemetry, and keeps a device id in HOME, unless this stands in the environment before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
from numpy.typing import NDArray

MODEL = Path(__file__).parent / "assets/silero_vad_v6.onnx"
CONTEXT = 64
"""Samples of the window before that the model wants in front of each window of 512."""
STATE_SHAPE = (1, 1, 128)


class SileroVad:
    """One model for all sessions; each gets its own detector."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = (
            1  # a window takes 0.1 ms: threads would cost more
        )
        self._session = onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])

    def detector(self) -> "SileroDetector":
        """A detector with fresh state."""
        return SileroDetector(self._session)


class SileroDetector:
    """The state of one microphone."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self.reset()

    def reset(self) -> None:
        """Forget what was heard so far."""
        self._hidden = np.zeros(STATE_SHAPE, np.float32)
        self._cell = np.zeros(STATE_SHAPE, np.float32)
        self._context = np.zeros(CONTEXT, np.float32)

    def probability(self, window: NDArray[np.int16]) -> float:
        """How likely `window` (int16 [512], 16 kHz) holds speech, 0 to 1."""
        samples = window.astype(np.float32) / 32768.0
        inputs = {"input": np.concatenate([self._context, samples])[None], "h": self._hidden, "c": self._cell}
        probability, self._hidden, self._cell = self._session.run(None, inputs)
        self._context = samples[-CONTEXT:]
        return float(probability[0])
