"""The client's messages, to its session."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from avatar.v1 import ConverseRequest
from avatar_service import clock
from avatar_service.access.rate import MessageRate
from avatar_service.rpc.reader import HALF_CLOSE_S, read_conversation


class Listening:
    """The part of a session that a stream without messages meets: its audio, which can be closed."""

    def __init__(self) -> None:
        self.audio = self
        self.closed = False

    def close(self) -> None:
        """The client sends no more."""
        self.closed = True


async def nothing() -> AsyncIterator[ConverseRequest]:
    """A stream whose client sends no more."""
    for _ in range(0):
        yield ConverseRequest()


def reading(session: Listening) -> asyncio.Task[None]:
    rate = MessageRate(0, clock.now())
    return asyncio.create_task(read_conversation(nothing(), cast(Any, None), cast(Any, session), rate, lambda _: None))


async def test_a_client_that_half_closes_ends_its_sessions_input() -> None:
    session = Listening()
    await reading(session)
    assert session.closed


async def test_a_stream_that_is_cut_does_not_count_as_half_closed_though_its_messages_end_first() -> None:
    session = Listening()
    task = reading(session)
    await asyncio.sleep(HALF_CLOSE_S / 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not session.closed
