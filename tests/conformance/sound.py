"""The audio of wire scripts."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

TONE_HZ = 440
TONE_AMPLITUDE = 8_192
PIECE_MS = 100


def pieces(audio: Mapping[str, Any], folder: Path) -> Iterator[bytes]:
    """The requests' data for a `send_audio` of a script in `folder`."""
    rate_hz = audio.get("rate_hertz", 16_000)
    data = _samples(audio, rate_hz, folder)
    size = 2 * (rate_hz * audio.get("piece_ms", PIECE_MS) // 1_000)
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


def _samples(audio: Mapping[str, Any], rate_hz: int, folder: Path) -> bytes:
    if "file" in audio:
        return folder.joinpath(audio["file"]).read_bytes()
    times_s = np.arange(rate_hz * audio.get("silence_ms", audio.get("tone_ms")) // 1_000) / rate_hz
    amplitude = TONE_AMPLITUDE if "tone_ms" in audio else 0
    samples = np.rint(amplitude * np.sin(2 * np.pi * TONE_HZ * times_s)).astype("<i2")
    return bytes(samples)
