"""The command that makes a weights folder: what it prints, and how it ends."""

from pathlib import Path

import pytest

from inference import convert_weights
from inference.convert_weights import main
from tests.inference_data import SMALL
from tests.published_weights import write_published


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(convert_weights, "VERSIONS", {"v15": SMALL})
    return write_published(tmp_path / "models")


def test_each_file_is_told_with_its_tensors_and_its_checksum(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "weights"
    assert main([str(models), str(target), "--version", "v15", "--half"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "unet.safetensors: 686 tensors, 2,183,540 parameters, float16"
    assert lines[1].startswith("  from musetalkV15/unet.pth, sha256 ")
    assert lines[1].endswith(", not on record: v1.0's, fine-tuned, or damaged")
    assert lines[-1] == f"{target} is ready: MUSETALK_MODEL_DIR={target}"


def test_a_fault_is_one_line(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (models / "musetalkV15" / "unet.pth").write_bytes(b"")
    assert main([str(models), str(tmp_path / "weights"), "--version", "v15"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"error: {models}/musetalkV15/unet.pth: empty; fetch it with python -m inference.fetch_weights\n"


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "python -m inference.convert_weights MuseTalk/models weights/v15 --version v15" in capsys.readouterr().out
