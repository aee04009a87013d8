"""One set of made-up weights and avatars, and one engine over them, for all tests of the engine."""

from pathlib import Path

import pytest
import torch

from inference.engine import Engine
from tests.inference_data import write_avatar, write_weights


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As the engine runs; on a busy machine torch's threads wait for each other longer than they work."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def avatars_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("avatars")


@pytest.fixture(scope="session")
def ada(avatars_dir: Path, weights_dir: Path) -> str:
    return write_avatar(avatars_dir, weights_dir, "ada", seed=1)


@pytest.fixture(scope="session")
def bo(avatars_dir: Path, weights_dir: Path) -> str:
    return write_avatar(avatars_dir, weights_dir, "bo", seed=2)


@pytest.fixture(scope="session")
def engine(weights_dir: Path, avatars_dir: Path) -> Engine:
    return Engine.load(weights_dir, [avatars_dir])
