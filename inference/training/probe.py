"""Stage ``probe``: how well can the six numbers be read from the windows? The bound of what the U-Net can show."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from inference.config import WINDOW_TOKENS
from inference.training.speech import SpeechSet
from inference.weights import load_tensors

PROBE_FILE = "probe.safetensors"  # beside the folder of the weights; measuring reads it, serving does not
HIDDEN = 96
BATCH = 256


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Mean and deviation of each Whisper state and channel."""

    mean: Tensor  # [5, C]
    deviation: Tensor  # [5, C]

    @staticmethod
    def of(speech: SpeechSet, spans: int = 1500) -> "Normaliser":
        """The statistics of the training speech."""
        rows = np.linspace(0, len(speech.features) - 1, min(spans, len(speech.features))).astype(int)
        sample = speech.features[rows].astype(np.float32)  # [S, 24, 5, C]
        return Normaliser(torch.from_numpy(sample.mean(axis=(0, 1))), torch.from_numpy(sample.std(axis=(0, 1)) + 1e-3))

    def tokens(self, speech: SpeechSet, frames: NDArray[np.int64]) -> Tensor:
        """Normalised windows [B, 50, C] without positional encoding."""
        raw = torch.from_numpy(speech.windows(frames)).float()  # [B, 50, C]
        repeats = WINDOW_TOKENS // len(self.mean)
        return (raw - self.mean.repeat(repeats, 1)) / self.deviation.repeat(repeats, 1)


def build_probe(width: int) -> nn.Module:
    """From windows [B, 50, width] to the six numbers [B, 6]."""
    return nn.Sequential(
        nn.Linear(width, 24),
        nn.GELU(),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(24 * WINDOW_TOKENS, HIDDEN),
        nn.GELU(),
        nn.Linear(HIDDEN, 6),
    )


def load_probe(path: Path, width: int) -> nn.Module:
    """Read what the stage ``probe`` wrote, ready to be asked; raises WeightsError."""
    network = build_probe(width)
    load_tensors(network, path)
    return network.eval()


def train_probe(
    speech: SpeechSet, held: SpeechSet, normaliser: Normaliser, steps: int
) -> tuple[nn.Module, NDArray[np.float64]]:
    """A small network from a window to the six numbers, and its Pearson r for each of them on held-out sentences."""
    torch.manual_seed(2)
    rng = np.random.default_rng(2)
    network = build_probe(speech.features.shape[-1])
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


def ask(network: nn.Module, heard: SpeechSet, normaliser: Normaliser) -> NDArray[np.float32]:
    """The six numbers of every frame as the probe hears them, [frames, 6] in 0..1."""
    frames = np.arange(len(heard.truth))
    batches = [frames[start : start + 512] for start in range(0, len(frames), 512)]
    with torch.inference_mode():
        parts = [network(normaliser.tokens(heard, batch)).clamp(0, 1).numpy() for batch in batches]
    return np.concatenate(parts)


def correlations(network: nn.Module, held: SpeechSet, normaliser: Normaliser) -> NDArray[np.float64]:
    """Pearson r of each of the six numbers over held-out frames."""
    predicted = ask(network, held, normaliser)
    return np.array([np.corrcoef(predicted[:, i], held.truth[:, i])[0, 1] for i in range(6)])
