"""Whisper's log-mel spectrogram of a span, with a clamp reference that the caller carries from span to span.

Whisper normalises by the maximum of the whole clip. A span knows only itself, so a quiet one would be made louder than
its neighbours; the maximum of the segment so far keeps them level. With a reference below the span's own maximum the
result is Whisper's own.
"""

import math

import torch
from torch import Tensor, nn

from inference.config import MEL_BINS, MEL_HOP_SAMPLES, SAMPLE_RATE_HZ

FFT_SAMPLES = 400
POWER_FLOOR = 1e-10
DYNAMIC_RANGE = 8.0  # log10 units kept below the maximum
FULL_SCALE = 32_768.0


def mel_filters() -> Tensor:
    """Slaney's mel filter bank of Whisper, [80 mel bins, 201 frequencies]."""
    frequencies = torch.linspace(0, SAMPLE_RATE_HZ / 2, FFT_SAMPLES // 2 + 1, dtype=torch.float64)  # [201]
    edges = _mel_to_hertz(
        torch.linspace(0, _hertz_to_mel(SAMPLE_RATE_HZ / 2), MEL_BINS + 2, dtype=torch.float64)
    )  # [82]
    slopes = edges[:, None] - frequencies[None, :]  # [82, 201]
    widths = edges.diff()[:, None]  # [81, 1]
    rising, falling = -slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]  # [80, 201] each
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]).float()  # each filter has unit area


def _hertz_to_mel(hertz: float) -> float:
    """Slaney's scale: linear to 1 kHz (15 mel), logarithmic above."""
    return 15.0 + 27.0 * math.log(hertz / 1000.0) / math.log(6.4) if hertz >= 1000.0 else 3.0 * hertz / 200.0


def _mel_to_hertz(mel: Tensor) -> Tensor:
    return torch.where(mel >= 15.0, 1000.0 * torch.exp(math.log(6.4) / 27.0 * (mel - 15.0)), 200.0 * mel / 3.0)


class LogMel(nn.Module):
    """Log-mel columns at 100 a second. Stateless; holds only the window and the filter bank."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FFT_SAMPLES), persistent=False)
        self.register_buffer("filters", mel_filters(), persistent=False)

    def forward(self, samples: Tensor, mel_max: Tensor) -> tuple[Tensor, Tensor]:
        """Spectrograms of equally long spans.

        Args:
            samples: [B, N] int16, or float in -1 to 1, at 16 kHz; N >= 400 and a multiple of 160.
            mel_max: [B] log10 mel power, the maximum of each segment so far.

        Returns:
            mel [B, 80, N / 160] as Whisper's encoder takes it, and the new maxima [B].
        """
        if samples.dtype == torch.int16:
            samples = samples.float() / FULL_SCALE
        spectrum = torch.stft(
            samples, FFT_SAMPLES, MEL_HOP_SAMPLES, window=self.window, return_complex=True
        )  # [B, 201, N / 160 + 1]
        power = spectrum[..., :-1].abs().square()  # [B, 201, N / 160]; Whisper drops the last column
        mel = (self.filters @ power).clamp(min=POWER_FLOOR).log10()  # [B, 80, N / 160]
        maximum = torch.maximum(mel_max, mel.amax(dim=(1, 2)))  # [B]
        mel = torch.maximum(mel, maximum[:, None, None] - DYNAMIC_RANGE)
        return (mel + 4.0) / 4.0, maximum
