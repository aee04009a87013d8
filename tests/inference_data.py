"""Weights and avatars made up by a seed, in the layout of the real ones, for tests of all but picture quality.

Weights in the layouts that MuseTalk is published in are made by ``tests/published_weights.py``.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray

from inference.audio_features import AudioFeatures
from inference.avatar_bundle import AvatarInfo, save_bundle
from inference.config import (
    FACE_SIZE,
    FRAME_SAMPLES,
    MUSETALK_V10,
    MUSETALK_V15,
    NANO,
    SPAN_LEFT_SAMPLES,
    START_MEL_MAX,
    KlSize,
    ModelConfig,
    UNetSize,
    WhisperSize,
    span_samples,
)
from inference.networks import build_unet, build_vae
from inference.requests import RenderRequest
from inference.weights import VAE_FILE, file_sha256, save_weights

FRAME_SIZE = 320
FRAMES = 4
BOX = (32, 40, 32 + FACE_SIZE, 40 + FACE_SIZE)

# The published topology with few channels: four levels, three of them with attention of 8 heads, and the same latents.
SMALL = replace(
    MUSETALK_V15,
    unet=UNetSize(
        block_channels=(16, 32, 64, 64),
        down_blocks=MUSETALK_V15.unet.down_blocks,
        up_blocks=MUSETALK_V15.unet.up_blocks,
        layers_per_block=MUSETALK_V15.unet.layers_per_block,
        norm_groups=8,
    ),
    vae=KlSize(block_channels=(8, 16, 32, 32), layers_per_block=2, norm_groups=4),
    whisper=WhisperSize(width=48, feed_forward=96),
)
SMALL_V10 = replace(SMALL, tier=MUSETALK_V10.tier, description=MUSETALK_V10.description)


def write_weights(folder: Path, seed: int = 0, config: ModelConfig = NANO) -> Path:
    """A weights folder of this architecture with random values, in fp16."""
    torch.manual_seed(seed)
    audio = AudioFeatures(config.whisper)
    audio.deviation.fill_(2.0)
    save_weights(folder, config, audio, build_unet(config), build_vae(config))
    return folder


def write_avatar(
    store: Path, weights: Path, avatar_id: str, seed: int = 0, boxes: tuple[tuple[int, int, int, int], ...] = ()
) -> str:
    """A bundle of random pictures under ``store/<id>``; returns its reference ``id@sha256``."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 255, (FRAMES, 8, 8, 3), dtype=np.uint8)
    pictures = coarse.repeat(FRAME_SIZE // 8, axis=1).repeat(FRAME_SIZE // 8, axis=2)
    frames = [simplejpeg.encode_jpeg(np.ascontiguousarray(p), 90, colorspace="RGB") for p in pictures]
    latents = torch.from_numpy(generator.normal(size=(FRAMES, 8, 32, 32)))
    masks = np.zeros((1, FACE_SIZE, FACE_SIZE), np.uint8)
    masks[0, 140:240, 60:200] = 128
    masks[0, 150:230, 70:190] = 255
    info = AvatarInfo(
        id=avatar_id,
        display_name=avatar_id.title(),
        width=FRAME_SIZE,
        height=FRAME_SIZE,
        fps=25.0,
        loop="ping-pong",
        boxes=boxes or (BOX,) * FRAMES,
        tier="nano",
        vae_sha256=file_sha256(weights / VAE_FILE),
    )
    return f"{avatar_id}@{save_bundle(store / avatar_id, info, frames, latents, masks)}"


def speech(samples: int, seed: int = 0) -> NDArray[np.int16]:
    """Noise in bursts of changing level: no speech, but nothing that a log-mel would find flat."""
    generator = np.random.default_rng(seed)
    level = np.repeat(generator.uniform(0.01, 0.3, samples // 800 + 1), 800)[:samples]
    noise = generator.normal(size=samples) * level * 8000
    return np.asarray(noise.clip(-32768, 32767), dtype=np.int16)


def request(
    avatar: str, weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0), seed: int = 0, first: int = 0
) -> RenderRequest:
    """A usual request: 1 s of left context, one frame a weight, 240 ms of look-ahead."""
    frames = len(weights)
    return RenderRequest(
        avatar=avatar,
        audio=speech(span_samples(frames), seed),
        audio_start=0,
        frame_index=tuple(range(first, first + frames)),
        frame_start=tuple(SPAN_LEFT_SAMPLES + FRAME_SAMPLES * i for i in range(frames)),
        mouth_weight=weights,
        mel_max=START_MEL_MAX,
    )
