"""Sample rate conversion of streams: any split of the same input gives the same output, with no delay left in it.

By FFmpeg's libswresample, which holds back 16 samples of the lower rate (1 ms at 16 kHz, 2 ms at 8 kHz). libsoxr works
in blocks and holds back 37 ms from 24 to 16 kHz and 115 ms from 8 to 16 kHz, which would delay every first sound and
every end of an utterance.
"""

from fractions import Fraction

import numpy as np
from av import AudioFrame
from av.error import BlockingIOError as NeedsMore
from av.filter import Graph
from numpy.typing import NDArray

FILTER_S = 0.01
"""Silence that drives out what is held back; more than the filter reaches ahead at 8 kHz, the lowest rate."""


class Resampler:
    """Converts mono 16-bit PCM from one rate to another, piece by piece.

    A sound at second t of the input is at second t of the output, and of n samples become n * to_hz / from_hz, rounded.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz = from_hz
        self._to_hz = to_hz
        self._converter = _converter(from_hz, to_hz) if from_hz != to_hz else None
        self._fed = 0
        self._made = 0

    def push(self, pcm: bytes) -> bytes:
        """Convert the next piece; `pcm` holds whole samples."""
        if self._converter is None or not pcm:
            return pcm
        return self._convert(self._converter, np.frombuffer(pcm, np.int16))

    def flush(self) -> bytes:
        """Return what was held back; nothing can be pushed afterwards."""
        if self._converter is None:
            return b""
        missing = (2 * self._fed * self._to_hz + self._from_hz) // (2 * self._from_hz) - self._made
        return self._convert(self._converter, np.zeros(round(FILTER_S * self._from_hz), np.int16))[: 2 * missing]

    def _convert(self, converter: Graph, samples: NDArray[np.int16]) -> bytes:
        frame = AudioFrame.from_ndarray(samples[None].astype(np.float32), "flt", "mono")  # [1, n]
        frame.sample_rate, frame.pts, frame.time_base = self._from_hz, self._fed, Fraction(1, self._from_hz)
        converter.push(frame)
        made: NDArray[np.float32] = np.concatenate([np.zeros(0, np.float32), *_pulled(converter)])
        self._fed += len(samples)
        self._made += len(made)
        return np.clip(np.rint(made), -32768, 32767).astype(np.int16).tobytes()


def _converter(from_hz: int, to_hz: int) -> Graph:
    """A chain of FFmpeg's filters that changes the rate of mono floats.

    PyAV's AudioResampler makes the same one, but lets FFmpeg start threads for it, as many as there are cores, which
    stay until Python's garbage collector finds it. Through floats, since integers would be dithered, from a new seed
    each time.
    """
    graph = Graph()
    graph.threads = 1
    source = {"sample_rate": f"{from_hz}", "sample_fmt": "flt", "channel_layout": "mono", "time_base": f"1/{from_hz}"}
    wanted = {"sample_rates": f"{to_hz}", "sample_fmts": "flt", "channel_layouts": "mono"}
    graph.link_nodes(graph.add("abuffer", **source), graph.add("aformat", **wanted), graph.add("abuffersink"))
    graph.configure()
    return graph


def _pulled(graph: Graph) -> list[NDArray[np.float32]]:
    """What has come out."""
    parts: list[NDArray[np.float32]] = []
    while True:
        try:
            parts.append(graph.pull().to_ndarray()[0])
        except NeedsMore:
            return parts
