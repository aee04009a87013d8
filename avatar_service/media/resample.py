"""Sample rate conversion of streams: any split of the same input gives the same output, with no delay left in it."""

import numpy as np
import soxr
from numpy.typing import NDArray


class Resampler:
    """Converts mono 16-bit PCM from one rate to another, piece by piece.

    libsoxr aligns its output with its input; what it holds back for its filter comes with later pieces or `flush`.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32") if from_hz != to_hz else None

    def push(self, pcm: bytes) -> bytes:
        """Convert the next piece; `pcm` holds whole samples."""
        return pcm if self._stream is None else self._convert(pcm, last=False)

    def flush(self) -> bytes:
        """Return what was held back; nothing can be pushed afterwards."""
        return b"" if self._stream is None else self._convert(b"", last=True)

    def _convert(self, pcm: bytes, *, last: bool) -> bytes:
        assert self._stream is not None
        # Through floats: libsoxr dithers what it gives out as integers, from a new seed each time.
        samples = np.frombuffer(pcm, np.int16).astype(np.float32)
        out: NDArray[np.float32] = self._stream.resample_chunk(samples, last=last)
        return np.clip(np.rint(out), -32768, 32767).astype(np.int16).tobytes()
