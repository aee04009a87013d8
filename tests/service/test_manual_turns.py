"""Push to talk, over a real socket: the client says when the user's turn begins and ends."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar.v1 import UtteranceEnded, UtteranceStarted
from tests.fakes.transcriber import FakeTranscriber, Heard
from tests.service.calls import Call, Fakes, serving

MANUAL: dict[str, Any] = {"mode": "TURN_TAKING_MODE_MANUAL"}
QUIET_WORD = ((0.0, 0.4), (0.6, 0.1), (0.0, 0.5))
"""User audio in which so little voice is detected that alone it would begin nothing: (probability, seconds)."""


async def push_to_talk(call: Call) -> None:
    """Hold the key for a second of it."""
    await call.send(utterance_started=UtteranceStarted())
    await call.speak(*QUIET_WORD)
    await call.send(utterance_ended=UtteranceEnded())


async def test_what_lies_between_the_marks_is_answered_however_little_is_detected_in_it(store: Path) -> None:
    fakes = Fakes(transcriber=FakeTranscriber(Heard("How far?", 0.01)))
    async with serving(store, fakes) as server:
        call = server.converse()
        await call.configure(turn_taking=MANUAL)
        await call.speak((1.0, 1.0), (0.0, 1.0))
        await push_to_talk(call)
        assert (await call.until("turn_completed")).heard_text == "Hello there."
        assert await call.finish() is grpc.StatusCode.OK
    assert [transcript.text for transcript in call.all("transcript")] == ["How far?"]
    assert call.only("speech_started").offset.ToMilliseconds() == pytest.approx(2_000, abs=32)


async def test_the_client_can_take_the_decision_over_and_give_it_back(store: Path) -> None:
    fakes = Fakes(transcriber=FakeTranscriber(Heard("one", 0.01), Heard("two", 0.01)))
    async with serving(store, fakes) as server:
        call = server.converse()
        await call.configure()
        await call.send(config_update={"turn_taking": MANUAL})
        await call.until("config_updated")
        await push_to_talk(call)
        await call.until("turn_completed")
        await call.send(config_update={"turn_taking": {}})
        await call.until("config_updated")
        await call.speak((1.0, 0.8), (0.0, 0.8))
        await call.until("turn_completed")
        await call.send(utterance_started=UtteranceStarted())
        assert await call.end() is grpc.StatusCode.INVALID_ARGUMENT
    assert [transcript.text for transcript in call.all("transcript")] == ["one", "two"]


async def test_marks_right_behind_a_change_to_manual_turns_count(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure()
        await call.send(config_update={"turn_taking": MANUAL})
        await call.send(utterance_started=UtteranceStarted())
        await call.speak((1.0, 0.8))
        await call.send(utterance_ended=UtteranceEnded())
        assert await call.finish() is grpc.StatusCode.OK
    assert call.all("notice") == []
    assert call.only("turn_completed").heard_text == "Hello there."
