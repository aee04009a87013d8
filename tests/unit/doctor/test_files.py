"""What the doctor says of avatars and weights on disk."""

import json
import shutil
from pathlib import Path

import pytest

from avatar_service.avatars.bundle import bundle_sha256
from avatar_service.doctor import files
from avatar_service.doctor.report import Verdict
from avatar_service.settings import PreparationSettings, ServerSettings
from inference.avatar_bundle import content_sha256, recorded_sha256
from inference.avatar_store import AVATARS_DIR
from inference.config import CONFIG_FILE
from inference.weights import AUDIO_NORM_FILE, NANO_DIR, TAESD_FILE, UNET_FILE, VAE_FILE, WHISPER_FILE


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A copy of one bundled avatar."""
    bundled = sorted(AVATARS_DIR.glob("*/avatar.json"))[0].parent
    shutil.copytree(bundled, tmp_path / "avatars" / bundled.name)
    return tmp_path / "avatars" / bundled.name


def server(store: Path, default: str = "") -> ServerSettings:
    return ServerSettings.model_validate({"avatars": store.parent, "default_avatar": default})


NONE_MADE = PreparationSettings.model_validate({})
"""A store in which there is nothing."""


def test_the_bundled_avatars_are_whole() -> None:
    (finding,) = files.avatars(ServerSettings.model_validate({}), NONE_MADE)
    assert finding.verdict is Verdict.OK
    assert f"{len(list(AVATARS_DIR.glob('*/avatar.json')))} whole" in finding.detail


def test_the_hash_is_the_renderers(store: Path) -> None:
    assert bundle_sha256(store) == content_sha256(store) == recorded_sha256(store)


def test_an_avatar_without_latents_is_named(store: Path) -> None:
    (store / "latents.safetensors").unlink()
    broken, rest = files.avatars(server(store), NONE_MADE)
    assert (broken.verdict, broken.detail) == (Verdict.FAILED, f"{store}/latents.safetensors: missing")
    assert "prepare the avatar again" in broken.mend
    assert rest.detail.startswith("0 whole")


def test_a_frame_that_is_gone_is_seen_by_the_hash(store: Path) -> None:
    next((store / "frames").glob("*.jpg")).unlink()
    broken, _ = files.avatars(server(store), NONE_MADE)
    assert broken.verdict is Verdict.FAILED
    assert "its content has hash" in broken.detail


def test_a_default_avatar_that_is_not_there_is_named(store: Path) -> None:
    (finding,) = files.avatars(server(store, "nobody"), NONE_MADE)
    assert finding.verdict is Verdict.FAILED
    assert "AVATAR_DEFAULT_AVATAR: no avatar 'nobody'" in finding.detail


def test_the_bundled_weights_are_whole() -> None:
    assert files.weights().verdict is Verdict.OK
    assert (files.CONFIG, files.WEIGHTS) == (CONFIG_FILE, (UNET_FILE, VAE_FILE, WHISPER_FILE))
    assert (files.AUDIO_NORM, files.TAESD) == (AUDIO_NORM_FILE, TAESD_FILE)


def test_weights_that_were_asked_for_and_are_not_there_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MUSETALK_MODEL_DIR", str(tmp_path / "v15"))
    finding = files.weights()
    assert (finding.verdict, finding.detail) == (Verdict.FAILED, f"no directory {tmp_path}/v15")
    assert "MUSETALK_MODEL_DIR" in finding.mend


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the bundled weights, which Triton is told to load."""
    monkeypatch.setenv("MUSETALK_MODEL_DIR", str(tmp_path / "weights"))
    return Path(shutil.copytree(NANO_DIR, tmp_path / "weights"))


def test_only_weights_that_normalise_their_audio_need_its_statistics(weights: Path) -> None:
    (weights / AUDIO_NORM_FILE).unlink()
    assert files.weights().detail == f"{weights}/{AUDIO_NORM_FILE}: missing"
    values = json.loads((weights / CONFIG_FILE).read_text())
    (weights / CONFIG_FILE).write_text(json.dumps(values | {"normalised_audio": False, "tier": "musetalk-v15"}))
    assert (files.weights().verdict, files.weights().detail) == (Verdict.OK, f"musetalk-v15 in {weights}")


def test_a_tiny_decoder_that_is_there_must_be_whole(weights: Path) -> None:
    (weights / TAESD_FILE).write_bytes(b"")
    assert files.weights().detail.startswith(f"{weights}/{TAESD_FILE}: not a safetensors file")


@pytest.mark.parametrize("content", ["{", "[]", "version https://git-lfs.github.com/spec/v1"])
def test_a_configuration_that_is_none_is_named(weights: Path, content: str) -> None:
    (weights / CONFIG_FILE).write_text(content)
    finding = files.weights()
    assert finding.verdict is Verdict.FAILED
    assert finding.detail.startswith(f"{weights}/{CONFIG_FILE}: not a configuration")


def test_published_files_are_told_from_a_folder_of_weights(weights: Path) -> None:
    (weights / "musetalkV15").mkdir()
    finding = files.weights()
    assert finding.detail == f"{weights} holds MuseTalk's published files, not a folder of weights"
    assert finding.mend.startswith(f"python -m inference.convert_weights {weights} ")


def test_a_missing_checkpoint_is_named_by_its_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MUSETALK_MODEL_DIR", str(tmp_path))
    shutil.copyfile(NANO_DIR / "config.json", tmp_path / "config.json")
    assert files.weights().detail == f"{tmp_path}/unet.safetensors: missing"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "not a safetensors file"),
        (b"", "not a safetensors file"),
        ((NANO_DIR / "vae.safetensors").read_bytes()[:-1], "it was cut or damaged"),
        ((NANO_DIR / "vae.safetensors").read_bytes(), ""),
    ],
)
def test_a_file_that_is_not_whole_is_told_by_its_header(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "vae.safetensors"
    path.write_bytes(content)
    assert told in files.safetensors_fault(path)
    assert bool(files.safetensors_fault(path)) == bool(told)
