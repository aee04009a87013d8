"""The command fetches the published files, makes a weights folder of them and deletes them."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inference import fetch_weights
from inference.checkpoints.download import Patience
from inference.checkpoints.manifest import PublishedFile
from inference.fetch_weights import main
from inference.weights import Model
from tests.fakes.hub import Hub
from tests.inference_data import SMALL
from tests.published_weights import Layout, write_published

REVISION = "0" * 40
UNET = "musetalkV15/unet.pth"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("hub") / "models", layout=Layout(taesd_file="taesd_decoder.pth"))


@pytest.fixture
def record(published: Path) -> list[PublishedFile]:
    """What the command knows of the files."""
    return [_record(path.relative_to(published).as_posix(), path.read_bytes()) for path in _files(published)]


@pytest.fixture
def hub(
    hub: Hub, published: Path, record: list[PublishedFile], impatient: Patience, monkeypatch: pytest.MonkeyPatch
) -> Hub:
    """Serves these files; the command knows of no others."""
    for path in _files(published):
        hub.files[f"/team/model/resolve/{REVISION}/{path.relative_to(published).as_posix()}"] = path.read_bytes()
    monkeypatch.setattr(fetch_weights, "published_files", lambda version, taesd: record)
    monkeypatch.setattr(fetch_weights, "VERSIONS", {"v15": SMALL})
    monkeypatch.setattr(fetch_weights, "PATIENCE", impatient)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return hub


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _record(name: str, content: bytes) -> PublishedFile:
    return PublishedFile("team/model", REVISION, name, name, len(content), hashlib.sha256(content).hexdigest())


def run(hub: Hub, target: Path, *options: str) -> int:
    return main([str(target), "--version", "v15", "--endpoint", hub.endpoint, *options])


def test_the_files_become_a_folder_that_loads_and_nothing_else_is_left(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "v15"
    assert run(hub, target) == 0
    model = Model.load(target, torch.device("cpu"))
    assert model.config == SMALL
    assert model.taesd is not None
    assert os.listdir(tmp_path) == ["v15"]
    printed = capsys.readouterr().out
    assert "unet.safetensors: 686 tensors" in printed
    assert printed.endswith(f"{target} is ready: MUSETALK_MODEL_DIR={target}\n")


def test_a_run_that_failed_is_taken_up_by_the_next(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unet = hub.files.pop(f"/team/model/resolve/{REVISION}/{UNET}")
    assert run(hub, tmp_path / "v15") == 1
    hub.files[f"/team/model/resolve/{REVISION}/{UNET}"] = unet
    hub.faults.cut_after = [1 << 30, 100_000] + [0] * 50
    assert run(hub, tmp_path / "v15") == 1
    assert len(_files(tmp_path / "v15.download")) == 2
    hub.faults.cut_after = []
    hub.asked.clear()
    assert run(hub, tmp_path / "v15") == 0
    fetched = [asked for asked in hub.asked if asked.startswith("GET /content")]
    assert len(fetched) == len(hub.files) - 1
    assert [asked for asked in fetched if "bytes=100000-" in asked]


def test_the_endpoint_of_the_environment_is_taken_unless_one_is_named(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.endpoint}/")
    hub.faults.status = 404
    assert main([str(tmp_path / "v15"), "--version", "v15"]) == 1
    assert len(hub.asked) == 1
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert run(hub, tmp_path / "v15") == 1
    assert len(hub.asked) == 2


def test_a_failure_is_one_line(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.faults.status = 404
    assert run(hub, tmp_path / "v15") == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"error: {hub.endpoint}/team/model/resolve/")
    assert told.err.count("\n") == 1


def test_too_little_room_is_told_before_anything_is_fetched(
    hub: Hub, record: list[PublishedFile], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.faults.size = 1 << 60
    record[:] = [replace(file, size=None) for file in record]
    assert run(hub, tmp_path / "v15") == 1
    assert "GB are free there; make room" in capsys.readouterr().err
    assert not [asked for asked in hub.asked if asked.startswith("GET")]


def test_a_folder_that_exists_is_told_before_anything_is_asked(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "v15").mkdir()
    assert run(hub, tmp_path / "v15") == 1
    assert "v15: exists; name a folder that does not" in capsys.readouterr().err
    assert hub.asked == []


def test_a_page_of_text_from_a_mirror_that_tells_nothing_is_refused_by_its_content(
    hub: Hub, record: list[PublishedFile], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record[:] = [replace(file, size=None, sha256=None) for file in record]
    hub.faults.no_head = hub.faults.no_size = True
    hub.files[f"/team/model/resolve/{REVISION}/{UNET}"] = b"<html>please sign in</html>"
    assert run(hub, tmp_path / "v15") == 1
    assert f"{tmp_path}/v15.download/{UNET}: a page of text, not weights" in capsys.readouterr().err
    assert not (tmp_path / "v15").exists()
