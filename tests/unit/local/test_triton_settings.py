"""What is missing for Triton is named, with the command that mends it."""

import asyncio
import importlib.util
import sysconfig
from pathlib import Path

import pytest

from avatar_service.errors import StartupError
from avatar_service.local import leftovers, triton, triton_files


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StartupError, match=r"pip install 'avatar-service\[inference\]'"):
        asyncio.run(triton.TritonServer().__aenter__())


def test_a_missing_libpython_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        sysconfig, "get_config_var", lambda name: {"INSTSONAME": "libpython9.99.so.1.0", "LIBDIR": str(tmp_path)}[name]
    )
    with pytest.raises(StartupError, match=r"libpython9.99.so.1.0 is missing.*apt-get install libpython3\.1"):
        triton_files.libpython_folder()


def test_leftovers_of_dead_processes_are_removed_and_those_of_living_ones_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(leftovers, "SHARED_MEMORY", tmp_path)
    dead, living, foreign = "avatar-triton-4194305-ab12", "avatar-triton-1-ab12", "psm_ab12"  # above the largest pid
    for name in (dead, living, foreign):
        (tmp_path / name).touch()
    leftovers.remove_leftovers()
    assert sorted(path.name for path in tmp_path.iterdir()) == [living, foreign]
