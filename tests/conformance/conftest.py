"""One service for every language: real processes of the service, its vendors and Triton replay."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.stack import Stack, replay_of

REPLY = "The moon is near. It turns with us, so that one face is all we ever see."
TRANSCRIPT = "How far is the moon?"


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A service whose every reply is REPLY, and which understands TRANSCRIPT."""
    stack = Stack(
        env={"AVATAR_MAX_SESSIONS": "100"},
        replay=replay_of(REPLY, transcript=TRANSCRIPT, last_token_s=0.3),
        sandbox_options=("--speech-rate", "20", "--speech-delay", "0.05"),
    )
    try:
        asyncio.run(stack.start())
        yield stack
    finally:
        stack.close()


@pytest.fixture
def server(stack: Stack) -> str:
    """Its address."""
    return stack.services[0].address
