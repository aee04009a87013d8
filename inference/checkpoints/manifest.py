"""The published files: where they are fetched from, their sizes, and their checksums where those are known.

These are the files of MuseTalk's own download script, each at a fixed revision of its repository. The checksums are
those that the hub records for them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One file of a repository on the hub, and where it lies below ``models``."""

    repository: str
    revision: str
    name: str  # in the repository
    path: str  # below models
    size: int | None  # bytes; None where only the hub knows
    sha256: str | None  # None where only the hub knows

    def url(self, endpoint: str) -> str:
        """Its address under an endpoint such as ``https://huggingface.co`` or a mirror of it."""
        return f"{endpoint.rstrip('/')}/{self.repository}/resolve/{self.revision}/{self.name}"


def _musetalk(name: str, size: int | None, sha256: str | None) -> PublishedFile:
    return PublishedFile("TMElyralab/MuseTalk", "2bcb936e2fddb4d86db4c62fd45b387d0c061571", name, name, size, sha256)


def _vae(name: str, size: int, sha256: str) -> PublishedFile:
    revision = "31f26fdeee1355a5c34592e401dd41e45d25a493"
    return PublishedFile("stabilityai/sd-vae-ft-mse", revision, name, f"sd-vae/{name}", size, sha256)


def _whisper(name: str, size: int, sha256: str) -> PublishedFile:
    revision = "169d4a4341b33bc18d8881c4b69c2e104e1cc0af"
    return PublishedFile("openai/whisper-tiny", revision, name, f"whisper/{name}", size, sha256)


_UNET_CONFIG_SHA256 = "5b6923aee04d71692e0e9846c471e0a4ea07a4f686d39545e472bd4ba17e1b47"
_UNETS: Mapping[str, Sequence[PublishedFile]] = {
    "v15": (
        _musetalk("musetalkV15/musetalk.json", 748, _UNET_CONFIG_SHA256),
        _musetalk(
            "musetalkV15/unet.pth",
            3_400_074_924,
            "7ebf6c98c181e20838e4c0054e96e944ac60d5d692cc01db42839fe11b787007",
        ),
    ),
    "v10": (
        _musetalk("musetalk/musetalk.json", 748, _UNET_CONFIG_SHA256),
        _musetalk("musetalk/pytorch_model.bin", None, None),
    ),
}
_SHARED = (
    _vae("config.json", 547, "92d3dfb746fca211a2c9e019e285f8597412211728dce3c5bcf4eda0f2d62e7e"),
    _vae(
        "diffusion_pytorch_model.bin",
        334_707_217,
        "1b4889b6b1d4ce7ae320a02dedaeff1780ad77d415ea0d744b476155c6377ddc",
    ),
    _whisper("config.json", 1_983, "ffdccec4f3211f4c63310f2b7098f309fe70f3952cedc5e4d11e43f5b2379b98"),
    _whisper("pytorch_model.bin", 151_095_027, "9607f98a2b22d9e229ae43c52ecea79dcede9e0c5cfae67e8da6eda86d8aac1d"),
)
_TAESD = PublishedFile(
    "madebyollin/taesd",
    "614f76814bbe30edbe2e627ace1c2234c81a2c0e",
    "diffusion_pytorch_model.safetensors",
    "taesd/diffusion_pytorch_model.safetensors",
    9_793_292,
    "db169d69145ec4ff064e49d99c95fa05d3eb04ee453de35824a6d0f325513549",
)

# The same weights in the forms that a folder of one's own may have instead.
_OTHER_SHA256 = (
    "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",  # the autoencoder as safetensors
    "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9",  # tiny.pt
)


def published_files(version: str, taesd: bool) -> tuple[PublishedFile, ...]:
    """What one version needs, small files first."""
    files = (*_UNETS[version], *_SHARED, *((_TAESD,) if taesd else ()))
    return tuple(sorted(files, key=lambda file: file.size or 1 << 62))


def published_sha256() -> frozenset[str]:
    """Every known checksum of a published file."""
    files = (*published_files("v15", True), *published_files("v10", True))
    return frozenset({file.sha256 for file in files if file.sha256} | set(_OTHER_SHA256))
