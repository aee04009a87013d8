"""Make an avatar bundle from an avatar that MuseTalk itself prepared: ``python -m inference.import_avatar``."""

import argparse
import re
import sys
from pathlib import Path

from rich.console import Console

from inference.avatar_bundle import AvatarInfo, BundleError, save_bundle
from inference.config import FPS, ModelConfig
from inference.preparation.upstream_cache import UpstreamAvatar, read_cache
from inference.weights import VAE_FILE, file_sha256

ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
EXAMPLE = """
example:
  python -m inference.import_avatar MuseTalk/results/v15/avatars/avator_1 avatars/anna --id anna --weights weights/v15
  MUSETALK_AVATARS_DIR=avatars MUSETALK_MODEL_DIR=weights/v15 avatar-service triton

CACHE is a folder that MuseTalk's realtime_inference.py wrote: avator_info.json, coords.pkl, mask_coords.pkl,
latents.pt, full_imgs/ and mask/. It is read without running anything in it; a pickle that names code is refused.
Frames without a face are left out, and the turning frames, which the cache holds twice, are shown once.

The latents belong to one autoencoder, and the cache does not say which: --weights must be those it was made with.
"""


def main(arguments: list[str] | None = None) -> int:
    """Import; exits with 1 after one line that names file, fault and way out."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.import_avatar",
        description="Make an avatar bundle from an avatar cache of MuseTalk.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cache", type=Path, metavar="CACHE", help="the folder that MuseTalk wrote")
    parser.add_argument("target", type=Path, metavar="TARGET", help="the bundle's folder, named as the id in a store")
    parser.add_argument("--id", required=True, help="the avatar's id: a-z, 0-9 and -, at most 63")
    parser.add_argument("--weights", type=Path, required=True, help="the weights folder whose autoencoder made it")
    parser.add_argument("--name", default="", help="what users read; default: the cache's own name")
    parser.add_argument("--fps", type=float, default=float(FPS), help=f"frames a second of the loop; default {FPS}")
    parser.add_argument("--force", action="store_true", help="replace a bundle that is there")
    options = parser.parse_args(arguments)
    console = Console(soft_wrap=True, highlight=False)
    try:
        avatar, sha256 = import_avatar(
            options.cache, options.target, options.id, options.weights, options.name, options.fps, options.force
        )
    except (BundleError, OSError, ValueError) as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"error: {error}", markup=False)
        return 1
    dropped = f", {avatar.dropped} without a face left out" if avatar.dropped else ""
    console.print(
        f"{options.target} is ready: {len(avatar.frames)} frames of {avatar.width}x{avatar.height}{dropped}; "
        f"{options.id}@{sha256}",
        markup=False,
    )
    return 0


def import_avatar(
    cache: Path, target: Path, avatar_id: str, weights: Path, name: str = "", fps: float = FPS, force: bool = False
) -> tuple[UpstreamAvatar, str]:
    """Write the bundle; returns what was read and the bundle's sha256. Raises BundleError, ValueError or OSError."""
    if not ID_PATTERN.fullmatch(avatar_id):
        raise BundleError(f"--id {avatar_id!r}: use a-z, 0-9 and -, at most 63, beginning with a letter or digit")
    if not 1 <= fps <= 60:
        raise BundleError(f"--fps {fps:g}: must be from 1 to 60")
    if target.exists() and not force:
        raise BundleError(f"{target}: is there already; --force replaces it")
    config, vae_sha256 = ModelConfig.load(weights), file_sha256(weights / VAE_FILE)
    avatar = read_cache(cache)
    info = AvatarInfo(
        id=avatar_id,
        display_name=name or avatar.name,
        width=avatar.width,
        height=avatar.height,
        fps=fps,
        loop="ping-pong",
        boxes=avatar.boxes,
        tier=config.tier,
        vae_sha256=vae_sha256,
    )
    return avatar, save_bundle(target, info, avatar.frames, avatar.latents, avatar.masks)


if __name__ == "__main__":
    sys.exit(main())
