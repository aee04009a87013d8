"""From a span of speech to the U-Net's condition: one window of 50 tokens a frame.

A window is ten Whisper features (five states each) around a frame's start, flattened time-major: token = 5 * feature +
state. Each state is normalised per channel with statistics of the training speech, then MuseTalk's sinusoidal encoding
of positions 0 to 49 is added.
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
    WhisperSize,
)
from inference.log_mel import LogMel
from inference.whisper_encoder import WhisperEncoder


@dataclass(frozen=True, slots=True)
class Span:
    """The audio of one request: PCM at 16 kHz, the sample at which each frame begins, the segment's log-mel maximum."""

    samples: NDArray[np.int16]  # [N], N a multiple of 320
    frame_starts: tuple[int, ...]
    mel_max: float


@dataclass(frozen=True, slots=True)
class Windows:
    """The condition of a span's frames, [F, 50, C], and the segment's new log-mel maximum."""

    tokens: Tensor
    mel_max: float


def window_features(frame_start: int) -> range:
    """The ten features of the frame that begins at this sample of the span; may reach outside it."""
    first = frame_start // FEATURE_SAMPLES - WINDOW_LEFT_FEATURES
    return range(first, first + WINDOW_FEATURES)


def gather_windows(features: Tensor, frame_starts: Sequence[int]) -> Tensor:
    """Windows [F, 50, C] of one span's features [T, 5, C]; features outside the span are zeros, as in MuseTalk."""
    length, states, width = features.shape
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
    positions: Tensor

    def __init__(self, size: WhisperSize) -> None:
        super().__init__()
        self.log_mel = LogMel()
        self.encoder = WhisperEncoder(size)
        self.register_buffer("mean", torch.zeros(WHISPER_STATES, size.width))
        self.register_buffer("deviation", torch.ones(WHISPER_STATES, size.width))
        self.register_buffer("positions", positional_encoding(size.width), persistent=False)

    def features(self, samples: Tensor, mel_max: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised features [B, T, 5, C] and new maxima [B] of spans [B, N] (int16, or float in -1 to 1)."""
        mel, maximum = self.log_mel(samples, mel_max)  # [B, 80, 2T]
        states = self.encoder(mel)  # [B, T, 5, C]
        return (states - self.mean) / self.deviation, maximum

    def windows(self, spans: Sequence[Span]) -> list[Windows]:
        """The windows of each span; spans of equal length share one pass of the encoder."""
        results: dict[int, Windows] = {}
        by_length: dict[int, list[int]] = {}
        for i, span in enumerate(spans):
            by_length.setdefault(len(span.samples), []).append(i)
        for members in by_length.values():
            samples = torch.from_numpy(np.stack([spans[i].samples for i in members])).to(
                self.positions.device
            )  # [B, N]
            mel_max = torch.tensor([spans[i].mel_max for i in members], device=self.positions.device)
            features, maximum = self.features(samples, mel_max)
            for row, i in enumerate(members):
                tokens = gather_windows(features[row], spans[i].frame_starts) + self.positions  # [F, 50, C]
                results[i] = Windows(tokens, float(maximum[row]))
        return [results[i] for i in range(len(spans))]
