"""Stage ``probe``: can the six numbers be read from the windows at all? The U-Net cannot beat this."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from inference.config import WINDOW_TOKENS
from inference.training.speech import SpeechSet

HIDDEN = 96
BATCH = 256


class Normaliser:
    """Mean and deviation of each Whisper state and channel over the training speech."""

    def __init__(self, speech: SpeechSet, spans: int = 1500) -> None:
        rows = np.linspace(0, len(speech.features) - 1, min(spans, len(speech.features))).astype(int)
        sample = speech.features[rows].astype(np.float32)  # [S, 24, 5, C]
        self.mean = torch.from_numpy(sample.mean(axis=(0, 1)))  # [5, C]
        self.deviation = torch.from_numpy(sample.std(axis=(0, 1)) + 1e-3)

    def tokens(self, speech: SpeechSet, frames: NDArray[np.int64]) -> Tensor:
        """Normalised windows [B, 50, C] without positional encoding."""
        raw = torch.from_numpy(speech.windows(frames)).float()  # [B, 50, C]
        repeats = WINDOW_TOKENS // len(self.mean)
        return (raw - self.mean.repeat(repeats, 1)) / self.deviation.repeat(repeats, 1)


def train_probe(
    speech: SpeechSet, held: SpeechSet, normaliser: Normaliser, steps: int
) -> tuple[nn.Module, NDArray[np.float64]]:
    """A small network from a window to the six numbers, and its Pearson r for each of them on held-out sentences."""
    torch.manual_seed(2)
    rng = np.random.default_rng(2)
    width = speech.features.shape[-1]
    network = nn.Sequential(
        nn.Linear(width, 24),
        nn.GELU(),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(24 * WINDOW_TOKENS, HIDDEN),
        nn.GELU(),
        nn.Linear(HIDDEN, 6),
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps)
    for _ in range(steps):
        frames = rng.integers(0, len(speech.truth), BATCH)
        predicted = network(normaliser.tokens(speech, frames))
        loss = functional.smooth_l1_loss(predicted, torch.from_numpy(speech.truth[frames]), beta=0.1)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
        optimiser.step()
        rates.step()
    return network, correlations(network.eval(), held, normaliser)


def correlations(network: nn.Module, held: SpeechSet, normaliser: Normaliser) -> NDArray[np.float64]:
    """Pearson r of each of the six numbers over held-out frames."""
    frames = np.arange(len(held.truth))
    batches = [frames[start : start + 512] for start in range(0, len(frames), 512)]
    with torch.inference_mode():
        parts = [network(normaliser.tokens(held, batch)).numpy() for batch in batches]
    predicted = np.concatenate(parts)
    return np.array([np.corrcoef(predicted[:, i], held.truth[:, i])[0, 1] for i in range(6)])
