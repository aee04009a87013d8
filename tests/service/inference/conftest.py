"""A hub on this machine."""

from collections.abc import Iterator

import pytest

from inference.checkpoints.download import Patience
from tests.fakes.hub import Hub, running_hub

IMPATIENT = Patience(connect_s=5.0, silence_s=5.0, attempts=3, worth_bytes=1_000, first_wait_s=0.0)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture
def impatient() -> Patience:
    """Gives up after three attempts, without waiting between them."""
    return IMPATIENT
