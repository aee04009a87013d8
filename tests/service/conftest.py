"""A store with two avatars, for every server of these tests."""

from pathlib import Path

import pytest

from tests.service.calls import write_avatars


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_avatars(tmp_path / "avatars", "ada", "bo")
