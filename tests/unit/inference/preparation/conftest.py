"""One thread a torch operation, as the service runs: two that share busy cores wait for each other."""

import pytest

from inference import cpu


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    cpu.tune(threads=1)
