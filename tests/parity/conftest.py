"""Random weights in MuseTalk's published layout: read by the reference as they are, by the engine after conversion."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.checkpoints.convert import convert
from inference.config import Positions
from inference.weights import Model
from tests.inference_data import SMALL
from tests.parity.reference import Picture, Reference
from tests.published_weights import Layout, write_published

CPU = torch.device("cpu")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """What an engine sets for its process; threads that wait for each other on a busy machine cost minutes."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``models`` of a MuseTalk checkout."""
    layout = Layout(taesd_file="diffusion_pytorch_model.safetensors")
    return write_published(tmp_path_factory.mktemp("published") / "models", SMALL, layout=layout)


@pytest.fixture(scope="session")
def reference(models: Path) -> Reference:
    return Reference.load(models)


@pytest.fixture(scope="session")
def converted(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Positions], Path]:
    """Makes the weights folder of the same files that places spans in this way; once for each."""
    folder, made = tmp_path_factory.mktemp("weights"), dict[str, Path]()

    def make(positions: Positions) -> Path:
        if positions not in made:
            made[positions] = folder / positions
            convert(models, made[positions], replace(SMALL, positions=positions))
        return made[positions]

    return make


@pytest.fixture(scope="session")
def model(converted: Callable[[Positions], Path]) -> Model:
    return Model.load(converted("padded"), CPU)


@pytest.fixture(scope="session")
def face() -> Picture:
    """A crop of patches and noise, BGR [256, 256, 3]."""
    generator = np.random.default_rng(3)
    patches = generator.integers(40, 216, (16, 16, 3)).repeat(16, axis=0).repeat(16, axis=1)
    return (patches + generator.integers(-40, 40, patches.shape)).astype(np.uint8)
