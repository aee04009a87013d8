"""One sandbox for all tests of this folder that do not need options of their own."""

from collections.abc import Iterator

import pytest

from tests.integration.sandbox_fixture import RunningSandbox, running_sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running
