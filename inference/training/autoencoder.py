"""Stage ``autoencoder``: the tiny autoencoder on face crops, the bundled identities most often."""

from pathlib import Path
from typing import cast

import numpy as np
import torch
from diffusers import AutoencoderTiny
from numpy.typing import NDArray
from torch import Tensor, nn

from inference.config import FACE_SIZE, NANO_VAE
from inference.networks import build_tiny_vae
from inference.training.faces import Faces
from inference.training.losses import masked_weights, mouth_weights, picture_loss
from inference.training.runs import Run, Schedule, Start
from inference.weights import VAE_FILE, load_tensors

BATCH = 8
BUNDLED_SHARE = 0.65
LATENT_NOISE = 0.05
LATENT_LIMIT = 2.0  # the decoder squeezes latents beyond 3
SMALL_SHARE = 0.45  # of the time on parts of 128 pixels, then on the lower part at full width
ADAPTED_SMALL_SHARE = 0.15  # the same for weights that are trained already
SMALL = 128
WIDE_TOP = 96
DECODER_BATCH = 6
DECODER_BUNDLED_SHARE = 0.85
DECODER_TOP = 80  # decoding starts at this row; what the decoder makes of the rows next to the cut is not looked at
DECODER_MARGIN = 56


def to_tensor(pictures: NDArray[np.uint8]) -> Tensor:
    """uint8 [B, h, w, 3] to [B, 3, h, w] in -1..1, as the engine feeds its encoder."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1.0)


def pick_rows(
    faces: Faces, count: int, rng: np.random.Generator, bundled_share: float = BUNDLED_SHARE
) -> NDArray[np.int64]:
    """Random rows, ``bundled_share`` of them of bundled identities."""
    is_bundled = faces.bundled[faces.sitter]
    ours, others = np.flatnonzero(is_bundled), np.flatnonzero(~is_bundled)
    from_ours = rng.random(count) < bundled_share
    return np.where(from_ours, rng.choice(ours, count), rng.choice(others, count))


def encoder_of(vae: AutoencoderTiny | nn.Module) -> nn.Module:
    """Pictures [B, 3, h, w] in -1..1 to latents [B, 4, h / 8, w / 8]. diffusers' annotations hide the submodule."""
    return cast(nn.Module, vae).get_submodule("encoder")


def decoder_of(vae: AutoencoderTiny) -> nn.Module:
    """Latents [B, 4, h / 8, w / 8] to pictures [B, 3, h, w] in -1..1."""
    return cast(nn.Module, vae).get_submodule("decoder")


def train_autoencoder(faces: Faces, folder: Path, budget_s: float, start: Start | None = None) -> AutoencoderTiny:
    """Train from noise or from ``start``, resuming from ``folder``; returns the autoencoder with averaged weights."""
    torch.manual_seed(1)
    vae = build_tiny_vae(NANO_VAE)
    network = cast(nn.Module, vae).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stub
    schedule, small_share = Schedule(budget_s, 2e-3, 5e-5), SMALL_SHARE
    if start is not None:
        load_tensors(network, start.folder / VAE_FILE)
        schedule, small_share = schedule.scaled(start.rate), ADAPTED_SMALL_SHARE
    run = Run("autoencoder", network, schedule, folder)
    encoder, decoder = encoder_of(vae), decoder_of(vae)
    weights = mouth_weights(4.0)

    def step(rng: np.random.Generator, spent: float) -> Tensor:
        top, left, height, width = _part(rng, spent < small_share)
        rows = pick_rows(faces, BATCH if spent < small_share else BATCH // 2, rng)
        target = to_tensor(faces.crops(rows)[:, top : top + height, left : left + width])
        latents = encoder(target)  # [B, 4, h / 8, w / 8]
        over = (latents.abs() - LATENT_LIMIT).clamp(min=0).square().mean()
        noise = torch.from_numpy(rng.normal(0.0, LATENT_NOISE, tuple(latents.shape))).float()
        decoded = decoder(latents + noise)
        place = weights[..., top : top + height, left : left + width]
        loss: Tensor = picture_loss(decoded, target, place).mean() + 0.1 * over
        return loss

    run.train(step)
    run.use_average()
    return vae


def train_decoder(vae: AutoencoderTiny, faces: Faces, latents: Tensor, folder: Path, budget_s: float) -> None:
    """The decoder alone, on what is pasted of mostly bundled faces. ``latents`` [N, 4, 32, 32] are the pool's.

    The encoder stays as it is, so latents that were made with it stay valid.
    """
    torch.manual_seed(5)
    decoder = decoder_of(vae)
    run = Run("decoder", decoder, Schedule(budget_s, 1.5e-3, 3e-5), folder)
    top = DECODER_TOP + DECODER_MARGIN
    weights = masked_weights(4.0)[..., top:, :]

    def step(rng: np.random.Generator, spent: float) -> Tensor:
        rows = pick_rows(faces, DECODER_BATCH, rng, DECODER_BUNDLED_SHARE)
        chosen = latents[torch.from_numpy(rows)]
        noise = torch.from_numpy(rng.normal(0.0, LATENT_NOISE, tuple(chosen.shape))).float()
        decoded = decode_lower(decoder, chosen + noise)
        return picture_loss(decoded, to_tensor(faces.crops(rows)[:, top:]), weights).mean()

    run.train(step)
    run.use_average()


def decode_lower(decoder: nn.Module, latents: Tensor) -> Tensor:
    """Rows ``DECODER_TOP + DECODER_MARGIN`` and below, [B, 3, 120, 256]: all that the mask shows, at less cost."""
    decoded: Tensor = decoder(latents[:, :, DECODER_TOP // 8 :])
    return decoded[:, :, DECODER_MARGIN:]


def _part(rng: np.random.Generator, small: bool) -> tuple[int, int, int, int]:
    """Top, left, height and width of what this step looks at, on the latents' grid of 8 pixels."""
    if small:
        top = 8 * int(rng.integers(10, 17)) if rng.random() < 0.8 else 8 * int(rng.integers(0, 17))
        left = 8 * int(rng.integers(4, 13)) if rng.random() < 0.6 else 8 * int(rng.integers(0, 17))
        return top, left, SMALL, SMALL
    return WIDE_TOP, 0, FACE_SIZE - WIDE_TOP, FACE_SIZE


def encode(vae: AutoencoderTiny | nn.Module, pictures: NDArray[np.uint8]) -> Tensor:
    """Latents [N, 4, 32, 32] of crops [N, 256, 256, 3]."""
    encoder = encoder_of(vae)
    with torch.inference_mode():
        parts = [encoder(to_tensor(pictures[start : start + 16])) for start in range(0, len(pictures), 16)]
    return torch.cat(parts).clone()


def psnr(vae: AutoencoderTiny, faces: Faces, rows: NDArray[np.int64]) -> float:
    """PSNR in dB of the lower half after encoding and decoding."""
    crops = faces.crops(rows)
    with torch.inference_mode():
        decoded = decoder_of(vae)(encode(vae, crops)).clamp(-1, 1)
    error = (decoded - to_tensor(crops))[:, :, FACE_SIZE // 2 :].square().mean().item()
    return float(10 * np.log10(4.0 / error))
