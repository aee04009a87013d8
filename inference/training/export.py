"""Stage ``export``: the weights folder of ``nano`` and the bundles of the drawn avatars."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
import simplejpeg
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from numpy.typing import NDArray
from torch import nn

from inference.audio_features import AudioFeatures
from inference.avatar_bundle import AvatarInfo, save_bundle
from inference.config import HIDDEN_ROW, NANO, ModelConfig
from inference.drawing.avatars import AVATARS, FPS, LOOP_FRAMES, DrawnAvatar, loop_pose
from inference.drawing.mouth_shape import MouthShape
from inference.drawing.render import FRAME_SIZE, draw_frame, face_box
from inference.training.autoencoder import encode
from inference.training.mask import mouth_mask
from inference.training.probe import Normaliser
from inference.weights import VAE_FILE, file_sha256, save_weights

FRAME_QUALITY = 92  # the served frame is encoded again from this one


def export_weights(
    folder: Path,
    audio: AudioFeatures,
    normaliser: Normaliser,
    unet: UNet2DConditionModel,
    vae: AutoencoderTiny,
    training: str,
) -> None:
    """Write ``config.json`` and the four weight files."""
    audio.mean.copy_(normaliser.mean)
    audio.deviation.copy_(normaliser.deviation)
    config = ModelConfig(NANO.tier, NANO.description, NANO.unet, NANO.vae, NANO.whisper, training)
    save_weights(folder, config, audio, unet, vae)


def export_avatars(weights: Path, avatars: Path, vae: AutoencoderTiny, pool: Path) -> None:
    """Write one bundle for each drawn avatar, its latents made by the autoencoder as it is stored (fp16)."""
    stored = _as_stored(vae)
    for avatar in AVATARS:
        frames = np.load(loop_path(pool, avatar))
        export_avatar(avatar, frames, file_sha256(weights / VAE_FILE), avatars / avatar.id, stored)


def loop_path(pool: Path, avatar: DrawnAvatar) -> Path:
    """Where the pool's drawing of an avatar's loop lies, [50, 512, 512, 3] with a closed mouth."""
    return pool / f"loop-{avatar.id}.npy"


def make_loops(pool: Path, processes: int) -> None:
    """Draw the source frames of each avatar; what exists stays."""
    missing = [avatar for avatar in AVATARS if not loop_path(pool, avatar).exists()]
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as workers:
        for avatar, frames in zip(missing, workers.map(_draw_loop, missing), strict=True):
            np.save(loop_path(pool, avatar), frames)


def _draw_loop(avatar: DrawnAvatar) -> NDArray[np.uint8]:
    poses = [loop_pose(frame, avatar.motion) for frame in range(LOOP_FRAMES)]
    return np.stack([draw_frame(MouthShape(), pose, avatar.look) for pose in poses])


def export_avatar(
    avatar: DrawnAvatar, frames: NDArray[np.uint8], vae_sha256: str, folder: Path, vae: AutoencoderTiny | nn.Module
) -> str:
    """Encode the loop's frames and write the bundle; returns its sha256."""
    boxes = tuple(face_box(loop_pose(frame, avatar.motion)) for frame in range(len(frames)))
    jpegs = [
        simplejpeg.encode_jpeg(
            np.ascontiguousarray(frame), quality=FRAME_QUALITY, colorspace="RGB", colorsubsampling="444"
        )
        for frame in frames
    ]
    crops = np.stack([frame[y1:y2, x1:x2] for frame, (x1, y1, x2, y2) in zip(frames, boxes, strict=True)])
    hidden = crops.copy()
    hidden[:, HIDDEN_ROW:] = 0
    latents = torch.cat([encode(vae, hidden), encode(vae, crops)], dim=1)  # [N, 8, 32, 32]
    info = AvatarInfo(
        avatar.id, avatar.display_name, FRAME_SIZE, FRAME_SIZE, float(FPS), "ping-pong", boxes, NANO.tier, vae_sha256
    )
    return save_bundle(folder, info, jpegs, latents, mouth_mask()[None])


def _as_stored(vae: AutoencoderTiny) -> AutoencoderTiny:
    """The same network with its weights rounded to what the file holds."""
    network = cast(nn.Module, vae)
    network.load_state_dict({name: value.half().float() for name, value in network.state_dict().items()})
    return vae
