"""One set of small random networks, and their files as they are published."""

import shutil
from pathlib import Path

import pytest

from tests.published_weights import Networks, random_networks, write_published


@pytest.fixture(scope="session")
def networks() -> Networks:
    return random_networks()


@pytest.fixture(scope="session")
def published(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``models`` of version 1.5; not to be changed."""
    return write_published(tmp_path_factory.mktemp("published") / "models", networks=networks)


@pytest.fixture
def models(published: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(published, tmp_path / "models"))
