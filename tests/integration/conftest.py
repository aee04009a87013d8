"""A real Triton over made-up weights and avatars, one for all tests of a module."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from avatar_service.local.triton import TritonServer, TritonServerSettings
from tests.inference_data import write_avatar, write_weights


@dataclass(frozen=True, slots=True)
class MadeUpModel:
    """Where the weights and the two avatars lie, and the avatars' references."""

    weights: Path
    avatars: Path
    ada: str
    bo: str

    @property
    def settings(self) -> TritonServerSettings:
        return TritonServerSettings(model_dir=self.weights, avatars_dirs=(self.avatars,))


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> MadeUpModel:
    folder = tmp_path_factory.mktemp("model")
    weights, avatars = write_weights(folder / "weights"), folder / "avatars"
    return MadeUpModel(
        weights, avatars, write_avatar(avatars, weights, "ada", seed=1), write_avatar(avatars, weights, "bo", seed=2)
    )


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def triton(runner: asyncio.Runner, made_up: MadeUpModel) -> Iterator[TritonServer]:
    server = TritonServer(made_up.settings)
    runner.run(server.__aenter__())
    yield server
    runner.run(server.stop())
