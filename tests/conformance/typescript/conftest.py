"""The TypeScript client is built once, before any of these tests."""

import pytest

from tests.conformance import runners
from tests.service.conftest import store

__all__ = ["store"]


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    """Bring its build up to date: packages, generated code, types."""
    runners.build(runners.TYPESCRIPT)
