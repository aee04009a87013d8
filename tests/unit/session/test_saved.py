"""What a session leaves in the store."""

from dataclasses import replace

import pytest

from avatar_service.engines.base import Message
from avatar_service.events import Source
from avatar_service.media.heard import SpokenWord
from avatar_service.media.types import ToolCall
from avatar_service.session.saved import HEADER, SavedInput, SavedSession, SavedTurn

CALL = ToolCall("call-1", "weather", '{"city":"Łódź"}')
SAVED = SavedSession(
    history=(
        Message("user", "Wie ist das Wetter? 今天"),
        Message("assistant", "", (CALL,)),
        Message("tool", "rain", (), "call-1"),
    ),
    last_turn_id=7,
    last_utterance_id=4,
    acknowledged_s=12.34,
    waiting=(SavedInput(Source.SAY, "Goodbye.", "r-1", remembered=False),),
    turn=SavedTurn(
        7,
        Source.TOOL_RESULTS,
        "and tomorrow?",
        sentences=("It rains.", "A lot."),
        words=(SpokenWord("It ", 0.0, 0.2, False), SpokenWord("rains. ", 0.2, 1 / 3, True)),
        reply_text="It rains. A lot. And",
        played_s=0.123456789,
        tool_messages=(Message("tool", "rain", (), "call-1"),),
    ),
    config=bytes(range(256)),
)


def test_what_is_read_is_what_was_written() -> None:
    assert SavedSession.from_bytes(SAVED.to_bytes()) == SAVED
    assert SavedSession.from_bytes(SavedSession().to_bytes()) == SavedSession()
    assert SavedSession.from_bytes(replace(SAVED, turn=None).to_bytes()) == replace(SAVED, turn=None)


def test_the_record_names_its_version_before_anything_else() -> None:
    assert SAVED.to_bytes().startswith(b"avatar-session 1\n{")


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"avatar-session 2\n{}",
        HEADER,
        HEADER + b"{",
        HEADER + b'{"history":[{"role":"robot","text":"x"}]}',
        HEADER + b'{"turn":{"turn_id":"one"}}',
        SAVED.to_bytes()[:-1],
    ],
)
def test_a_record_that_this_release_cannot_read_is_none(record: bytes) -> None:
    assert SavedSession.from_bytes(record) is None
