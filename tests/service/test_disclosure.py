"""An avatar that says what it is, before anything else."""

from pathlib import Path

import grpc
import pytest

from avatar.v1 import TurnSource
from tests.service.calls import serving


@pytest.mark.parametrize(
    ("first_message", "heard"),
    [("", "I am a machine."), ("How can I help?", "I am a machine. How can I help?")],
    ids=["alone", "before the first message"],
)
async def test_it_is_spoken_at_once_in_one_turn_with_the_first_message(
    store: Path, first_message: str, heard: str
) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure(disclosure={"spoken_text": "I am a machine."}, first_message=first_message)
        await call.until("turn_completed")
        await call.text("hello")
        assert await call.finish() is grpc.StatusCode.OK
    told = call.only("session_started").config
    assert (told.disclosure.spoken_text, told.first_message) == ("I am a machine.", first_message)
    sources = [started.source for started in call.all("turn_started")]
    assert sources == [TurnSource.TURN_SOURCE_FIRST_MESSAGE, TurnSource.TURN_SOURCE_TEXT]
    assert call.all("turn_completed")[0].generated_text == heard
