"""From a span of speech to the U-Net's condition: one window of 50 tokens a frame.

A window is ten Whisper features (five states each) around a frame's start, flattened time-major: token = 5 * feature +
state. Each state is normalised per channel with statistics of the training speech, then MuseTalk's sinusoidal encoding
of positions 0 to 49 is added.

Whisper's encoder numbers its features, and hears 30 s at a time. ``Positions`` says what becomes of a span:

- "span": the whole span is heard, silence before the segment included, and numbered from 0. nano was trained so.
- "true": only what lies in the segment is heard, and numbered as in the segment's pieces of 30 s; features outside the
  segment are zeros. This is MuseTalk with the context of the span instead of the 30 s.
- "padded": as "true", but numbered from 0 and followed by zeros up to 30 s. A span that holds a whole clip gets
  MuseTalk's very numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inference.config import (
    FEATURE_SAMPLES,
    WHISPER_STATES,
    WINDOW_FEATURES,
    WINDOW_LEFT_FEATURES,
    WINDOW_TOKENS,
    Positions,
    WhisperSize,
)
from inference.log_mel import FFT_SAMPLES, LogMel
from inference.whisper_encoder import WhisperEncoder


@dataclass(frozen=True, slots=True)
class Span:
    """The audio of one request: PCM at 16 kHz, the sample at which each frame begins, the segment's log-mel maximum.

    ``start`` is where the span begins in its segment, in samples. What lies before sample 0 of the segment is silence,
    whatever ``samples`` hold there.
    """

    samples: NDArray[np.int16]  # [N]
    frame_starts: tuple[int, ...]
    mel_max: float
    start: int = 0


@dataclass(frozen=True, slots=True)
class Windows:
    """The condition of a span's frames, [F, 50, C], and the segment's new log-mel maximum."""

    tokens: Tensor
    mel_max: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What of a span the encoder hears: its first ``features`` count, numbered by the encoder from ``position`` on."""

    samples: NDArray[np.int16]  # [N], N a multiple of 320
    frame_starts: tuple[int, ...]  # in ``samples``
    features: int
    position: int


def heard(span: Span, positions: Positions, longest: int) -> Heard:
    """The part of a span that is encoded; ``longest`` is how many features Whisper can number."""
    before = max(0, -span.start)  # samples before the segment
    if positions == "span":
        samples = _whole_features(span.samples)
        samples[:before] = 0
        return Heard(samples, span.frame_starts, len(samples) // FEATURE_SAMPLES, 0)
    inside = span.samples[before:]
    starts = tuple(start - before for start in span.frame_starts)
    if positions == "padded":
        samples = np.pad(inside, (0, longest * FEATURE_SAMPLES - len(inside)))
        return Heard(samples, starts, len(inside) // FEATURE_SAMPLES, 0)
    samples = _whole_features(inside)
    last = longest - len(samples) // FEATURE_SAMPLES  # held there: a span that crosses into the next piece still fits
    position = min(max(0, span.start) // FEATURE_SAMPLES % longest, last)
    return Heard(samples, starts, len(inside) // FEATURE_SAMPLES, position)


def _whole_features(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """A copy with silence up to a whole feature, and to the least that the spectrogram takes."""
    length = max(len(samples), FFT_SAMPLES)
    return np.pad(samples, (0, length + -length % FEATURE_SAMPLES - len(samples)))


def window_features(frame_start: int) -> range:
    """The ten features of the frame that begins at this sample of the span; may reach outside it."""
    first = frame_start // FEATURE_SAMPLES - WINDOW_LEFT_FEATURES
    return range(first, first + WINDOW_FEATURES)


def gather_windows(features: Tensor, frame_starts: Sequence[int]) -> Tensor:
    """Windows [F, 50, C] of one span's features [T, 5, C]; features outside the span are zeros, as in MuseTalk."""
    length, states, width = features.shape
    if not length or not frame_starts:
        return features.new_zeros(len(frame_starts), WINDOW_FEATURES * states, width)
    index = torch.tensor([list(window_features(start)) for start in frame_starts], device=features.device)  # [F, 10]
    inside = (index >= 0) & (index < length)  # [F, 10]
    windows = features[index.clamp(0, length - 1)] * inside[:, :, None, None]  # [F, 10, 5, C]
    return windows.reshape(len(frame_starts), WINDOW_FEATURES * states, width)  # [F, 50, C]


def positional_encoding(width: int) -> Tensor:
    """Sine on even channels, cosine on odd ones, base 10,000: [50, C]."""
    positions = torch.arange(WINDOW_TOKENS, dtype=torch.float32)[:, None]  # [50, 1]
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10_000.0) / width))  # [C / 2]
    angles = positions * rates  # [50, C / 2]
    return torch.stack([angles.sin(), angles.cos()], dim=2).reshape(WINDOW_TOKENS, width)


class AudioFeatures(nn.Module):
    """Log-mel, Whisper encoder, normalisation, windows, positional encoding.

    ``mean`` and ``deviation`` [5, C] are buffers with the statistics of each Whisper state; 0 and 1 change nothing.
    """

    mean: Tensor
    deviation: Tensor
    token_positions: Tensor

    def __init__(self, size: WhisperSize, positions: Positions = "span") -> None:
        super().__init__()
        self.log_mel = LogMel()
        self.encoder = WhisperEncoder(size)
        self.register_buffer("mean", torch.zeros(WHISPER_STATES, size.width))
        self.register_buffer("deviation", torch.ones(WHISPER_STATES, size.width))
        self.register_buffer("token_positions", positional_encoding(size.width), persistent=False)  # [50, C]
        self._positions = positions
        self._longest = size.positions

    def features(
        self, samples: Tensor, mel_max: Tensor, start_positions: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Normalised features [B, T, 5, C] and new maxima [B] of spans [B, N] (int16, or float in -1 to 1).

        ``start_positions`` [B] are the encoder's positions of their first features; None is 0 for all.
        """
        mel, maximum = self.log_mel(samples, mel_max)  # [B, 80, 2T]
        states = self.encoder(mel, start_positions)  # [B, T, 5, C]
        return (states - self.mean) / self.deviation, maximum

    def windows(self, spans: Sequence[Span]) -> list[Windows]:
        """The windows of each span; spans of which equally much is heard share one pass of the encoder."""
        results: dict[int, Windows] = {}
        parts = [heard(span, self._positions, self._longest) for span in spans]
        by_length: dict[int, list[int]] = {}
        for i, part in enumerate(parts):
            by_length.setdefault(len(part.samples), []).append(i)
        device = self.token_positions.device
        for members in by_length.values():
            samples = torch.from_numpy(np.stack([parts[i].samples for i in members])).to(device)  # [B, N]
            mel_max = torch.tensor([spans[i].mel_max for i in members], device=device)  # [B]
            start_positions = torch.tensor([parts[i].position for i in members], device=device)  # [B]
            features, maximum = self.features(samples, mel_max, start_positions)
            for row, i in enumerate(members):
                windows = gather_windows(features[row, : parts[i].features], parts[i].frame_starts)  # [F, 50, C]
                results[i] = Windows(windows + self.token_positions, float(maximum[row]))
        return [results[i] for i in range(len(spans))]
