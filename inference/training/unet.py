"""Stages ``unet`` and ``polish``: from masked and reference latents and an audio window to the latents of the frame.

Pairs are made twice over: half of a batch starts from a window and takes the drawn face of a bundled identity whose
mouth is nearest to the truth, half starts from a face and takes a window with the nearest truth. So every window and
every face is used, and neither has to be drawn for the other.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor, nn

from inference.audio_features import positional_encoding
from inference.config import HIDDEN_ROW, LATENT_SIZE, NANO, UNET_TIMESTEP
from inference.networks import build_unet
from inference.training.autoencoder import (
    DECODER_BATCH,
    DECODER_BUNDLED_SHARE,
    DECODER_MARGIN,
    DECODER_TOP,
    decode_lower,
    decoder_of,
    encode,
    pick_rows,
    to_tensor,
)
from inference.training.faces import Faces
from inference.training.losses import masked_weights, mouth_weights, picture_loss
from inference.training.probe import Normaliser
from inference.training.runs import Run, Schedule, Start
from inference.training.speech import SpeechSet
from inference.weights import UNET_FILE, load_tensors

BATCH = 16
BUNDLED_SHARE = 0.65
NEIGHBOURS = 12  # windows to choose from for one face
# The opening and the tuck are what a viewer sees first; the tongue is seen least.
AXES = np.array([1.6, 1.0, 1.2, 0.8, 0.4, 1.2], dtype=np.float32)
CLOSED_BELOW = 0.05
CLOSED_WEIGHT = 3.0
PICTURES_FROM = 0.6  # of the budget: from here on some samples are decoded too
PICTURES = 3
WIDE_TOP = 96
ADAPTED_POLISH = 0.2  # of the learning rate


@dataclass(frozen=True, slots=True)
class Latents:
    """Everything the U-Net sees of the pool of faces, encoded once."""

    targets: Tensor  # [N, 4, 32, 32]
    references: Tensor  # [P, 4, 32, 32]
    masked: Tensor  # [P, 4, 32, 32]

    @staticmethod
    def of(vae: AutoencoderTiny, faces: Faces) -> "Latents":
        """Encode a pool."""
        targets = torch.cat(
            [encode(vae, faces.crops(rows)) for rows in np.array_split(np.arange(len(faces.lower)), 64)]
        )
        hidden = faces.references.copy()
        hidden[:, HIDDEN_ROW:] = 0  # black is -1 after normalisation
        return Latents(targets, encode(vae, faces.references), encode(vae, hidden))

    def inputs(self, sitters: NDArray[np.int32]) -> Tensor:
        """[B, 8, 32, 32] of these poses: masked, then reference."""
        rows = torch.from_numpy(sitters.astype(np.int64))
        return torch.cat([self.masked[rows], self.references[rows]], dim=1)


class Pairs:
    """Windows and faces that belong together."""

    def __init__(self, faces: Faces, speech: SpeechSet) -> None:
        self._faces, self._speech = faces, speech
        self._bundled = np.flatnonzero(faces.bundled[faces.sitter])
        self._faces_tree = cKDTree(faces.mouth[self._bundled] * AXES)
        self._windows_tree = cKDTree(speech.truth * AXES)

    def draw(
        self, rng: np.random.Generator, count: int, bundled_share: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of faces and frames of speech, [count] each."""
        return self._concatenated(
            self._from_windows(rng, count // 2), self._from_faces(rng, count - count // 2, bundled_share)
        )

    def _from_windows(self, rng: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        frames = rng.integers(0, len(self._speech.truth), count)
        _, nearest = self._faces_tree.query(self._speech.truth[frames] * AXES, k=4)  # [count, 4]
        return self._bundled[nearest[np.arange(count), rng.integers(0, 2, count)]], frames

    def _from_faces(
        self, rng: np.random.Generator, count: int, bundled_share: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        share = max(0.0, 2 * bundled_share - 1)  # the other half of the batch is bundled wholly
        rows = pick_rows(self._faces, count, rng, share)
        _, nearest = self._windows_tree.query(self._faces.mouth[rows] * AXES, k=NEIGHBOURS)  # [count, NEIGHBOURS]
        return rows, nearest[np.arange(count), rng.integers(0, NEIGHBOURS, count)]

    @staticmethod
    def _concatenated(
        *parts: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return np.concatenate([rows for rows, _ in parts]), np.concatenate([frames for _, frames in parts])


@dataclass(frozen=True, slots=True)
class Material:
    """What a U-Net step draws from."""

    faces: Faces
    speech: SpeechSet
    latents: Latents
    normaliser: Normaliser
    pairs: Pairs


def predict(unet: UNet2DConditionModel, inputs: Tensor, tokens: Tensor) -> Tensor:
    """One pass at the constant timestep; tokens [B, 50, C] are normalised and get their positions here."""
    conditioned = tokens + positional_encoding(tokens.shape[-1])
    result: Tensor = cast(nn.Module, unet)(
        inputs, torch.tensor([UNET_TIMESTEP]), encoder_hidden_states=conditioned
    ).sample
    return result


def train_unet(
    material: Material, vae: AutoencoderTiny, folder: Path, budget_s: float, start: Start | None = None
) -> UNet2DConditionModel:
    """Train from noise or from ``start``, resuming from ``folder``; returns the U-Net with averaged weights."""
    torch.manual_seed(3)
    unet = build_unet(NANO)
    network = cast(nn.Module, unet).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stub
    schedule = Schedule(budget_s, 2e-3, 5e-5)
    if start is not None:
        load_tensors(network, start.folder / UNET_FILE)
        schedule = schedule.scaled(start.rate)
    run = Run("unet", network, schedule, folder)
    cells = mouth_weights(6.0, LATENT_SIZE)
    pixels = mouth_weights(6.0)
    decoder = decoder_of(vae).requires_grad_(False)

    def step(rng: np.random.Generator, spent: float) -> Tensor:
        rows, frames = material.pairs.draw(rng, BATCH, BUNDLED_SHARE)
        inputs = material.latents.inputs(material.faces.sitter[rows])
        predicted = predict(unet, inputs, material.normaliser.tokens(material.speech, frames))  # [B, 4, 32, 32]
        error = (predicted - material.latents.targets[torch.from_numpy(rows)]).abs() * cells
        importance = _importance(material.faces.mouth[rows])
        loss = (error.mean(dim=(1, 2, 3)) * importance).mean()
        if spent > PICTURES_FROM:
            chosen = rng.choice(BATCH, PICTURES, replace=False)
            target = to_tensor(material.faces.crops(rows[chosen])[:, WIDE_TOP:])
            decoded = decoder(predicted[torch.from_numpy(chosen)])[:, :, WIDE_TOP:]  # [n, 3, 160, 256]
            loss = loss + 2.0 * (picture_loss(decoded, target, pixels[..., WIDE_TOP:, :]) * importance[chosen]).mean()
        return loss

    run.train(step)
    run.use_average()
    return unet


def _importance(mouths: NDArray[np.float32]) -> Tensor:
    """Closed mouths count more: they are short, and a mouth that does not close is what viewers notice."""
    return torch.from_numpy(np.where(mouths[:, 0] < CLOSED_BELOW, CLOSED_WEIGHT, 1.0).astype(np.float32))


def polish(
    material: Material,
    vae: AutoencoderTiny,
    unet: UNet2DConditionModel,
    folder: Path,
    budget_s: float,
    start: Start | None = None,
) -> None:
    """Decoder and U-Net together on the bundled identities' pictures; both end with averaged weights.

    A run that began from trained weights has converged by now: the full rate would throw it back.
    """
    torch.manual_seed(4)
    decoder = decoder_of(vae).requires_grad_(True)
    both = nn.ModuleDict({"unet": cast(nn.Module, unet), "decoder": decoder})
    schedule = Schedule(budget_s, 1e-3, 2e-5, warm_up_steps=50)
    run = Run("polish", both, schedule if start is None else schedule.scaled(ADAPTED_POLISH), folder)
    top = DECODER_TOP + DECODER_MARGIN
    pixels = masked_weights(4.0)[..., top:, :]

    def step(rng: np.random.Generator, spent: float) -> Tensor:
        rows, frames = material.pairs.draw(rng, DECODER_BATCH, DECODER_BUNDLED_SHARE)
        inputs = material.latents.inputs(material.faces.sitter[rows])
        predicted = predict(unet, inputs, material.normaliser.tokens(material.speech, frames))  # [B, 4, 32, 32]
        decoded = decode_lower(decoder, predicted)  # [B, 3, 256 - top, 256]
        target = to_tensor(material.faces.crops(rows)[:, top:])
        loss: Tensor = (picture_loss(decoded, target, pixels) * _importance(material.faces.mouth[rows])).mean()
        return loss

    run.train(step)
    run.use_average()
