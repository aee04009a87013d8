"""Avatars by ``id@sha256``, loaded when first asked for, the least recently used dropped at a limit in bytes.

A store is a folder that holds bundles as ``<id>/`` (the bundled avatars) or ``<sha256>/`` (content-addressed: several
versions and owners of one id side by side).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.avatar_bundle import INFO_FILE, AvatarBundle, BundleError, recorded_sha256
from inference.byte_cache import ByteCache
from inference.compositor import paste_region
from inference.decoder import Region

AVATARS_DIR = Path(__file__).parent / "assets" / "avatars"


@dataclass(frozen=True, slots=True)
class Avatar:
    """A loaded bundle and the part of its face crop that is painted."""

    bundle: AvatarBundle
    region: Region


class AvatarStore:
    """Reads avatars from folders that others may write to meanwhile."""

    def __init__(self, folders: Sequence[Path], cache_bytes: int, vae_sha256: str) -> None:
        """``vae_sha256``: of the autoencoder in use; latents of another one would decode to noise."""
        self._folders = tuple(folders)
        self._vae_sha256 = vae_sha256
        self._avatars: ByteCache[str, Avatar] = ByteCache(cache_bytes, lambda avatar: avatar.bundle.size_bytes)

    def get(self, reference: str) -> Avatar:
        """The avatar of a well-formed ``id@sha256``; raises BundleError where it is missing or damaged."""
        return self._avatars.get(reference, lambda: self._load(reference))

    def _load(self, reference: str) -> Avatar:
        avatar_id, _, sha256 = reference.partition("@")
        bundle = AvatarBundle.load(self._find(avatar_id, sha256))
        if bundle.info.id != avatar_id:
            raise BundleError(f"the bundle {sha256} is avatar {bundle.info.id!r}, not {avatar_id!r}")
        if bundle.info.vae_sha256 != self._vae_sha256:
            raise BundleError(f"avatar {avatar_id!r} was prepared with other weights; prepare it again with these")
        return Avatar(bundle, paste_region(bundle.mouth_region(), bundle.info.boxes))

    def _find(self, avatar_id: str, sha256: str) -> Path:
        known = []
        for folder in self._folders:
            for candidate in (folder / avatar_id, folder / sha256):
                if (candidate / INFO_FILE).is_file():
                    recorded = recorded_sha256(candidate)
                    if recorded == sha256:
                        return candidate
                    known.append(recorded)
        if known:
            raise BundleError(f"avatar {avatar_id!r} has no version {sha256}; the store holds {known[0]}")
        raise BundleError(f"no avatar {avatar_id!r} in {', '.join(map(str, self._folders))}")
