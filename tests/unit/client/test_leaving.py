"""A stream that the service is going to end is left in time, between two turns, for another one."""

import asyncio

import grpc
import numpy as np
import pytest

from avatar import v1
from avatar.v1 import Code, ConverseResponse
from avatar_client import (
    AsyncConversation,
    ConverseEvent,
    Resumed,
    TurnCompleted,
)
from tests.unit.client.resuming import COMPLETED, hold, kinds, turn_started
from tests.unit.client.scripted_service import (
    Stream,
    failure,
    in_turn,
    media,
    reply_finished,
    turn_completed,
)


def test_a_stream_that_will_end_is_left_when_the_turn_is_over_and_takes_the_session_with_it() -> None:
    left = asyncio.Event()
    resumes: list[v1.Resume] = []
    sent: list[v1.ConverseRequest] = []

    async def before(stream: Stream) -> None:
        try:
            await stream.start("first")
            going = v1.GoAway(resume_token="latest", reason=v1.GoAwayReason.GO_AWAY_REASON_DRAINING)
            going.time_left.FromMilliseconds(60_000)
            await stream.send(turn_started(1), *media(1, 5), ConverseResponse(go_away=going), reply_finished(1, 5))
            while not (await stream.until("playback_report")).playback_report.stopped:
                pass
            assert resumes == [], "the turn is finished first"
            await stream.send(turn_completed(1, "Near.", COMPLETED))
            await stream.until_half_close()
        finally:
            left.set()

    async def after(stream: Stream) -> None:
        resumes.append(await stream.start("second", received_s=0.01, last_turn_id=1))
        await stream.until("audio")
        sent.extend(stream.received)
        await left.wait()

    async def speak(conversation: AsyncConversation) -> None:
        await conversation.send_pcm(np.arange(320, dtype="<i2").tobytes())

    events = hold(in_turn(before, after), speak)
    assert resumes[0].resume_token == "latest"
    assert kinds(events)[-2:] == [TurnCompleted, Resumed]
    assert isinstance(events[-1], Resumed)
    assert (events[-1].cause, events[-1].turn_id) == ("", 1)
    assert events[-1].played_s == pytest.approx(0.2)
    assert sent[-1].audio.data == np.arange(160, 320, dtype="<i2").tobytes(), "what had not arrived is sent again"


def test_a_stream_that_cannot_be_left_yet_goes_on() -> None:
    async def before(stream: Stream) -> None:
        await stream.start("first")
        await stream.send(ConverseResponse(go_away=v1.GoAway(resume_token="latest")))
        await stream.until("text")
        await stream.send(turn_started(1), turn_completed(1, "Near.", COMPLETED))

    async def refuse(stream: Stream) -> None:
        await stream.until("config")
        await stream.fail(grpc.StatusCode.UNAVAILABLE, failure(Code.CODE_UNAVAILABLE, "DRAINING", "going down"))

    async def go_on(conversation: AsyncConversation, event: ConverseEvent) -> None:
        if type(event).__name__ == "GoAway":
            await conversation.send_text("hello")

    assert [type(event).__name__ for event in hold(in_turn(before, refuse), on=go_on)] == [
        *("GoAway", "TurnStarted", "TurnCompleted")
    ]


def test_a_turn_that_does_not_end_in_time_is_taken_along() -> None:
    resumes: list[v1.Resume] = []

    async def before(stream: Stream) -> None:
        await stream.start("first")
        await stream.send(turn_started(1), *media(1, 20), ConverseResponse(go_away=v1.GoAway()))
        await stream.until_half_close()

    async def after(stream: Stream) -> None:
        resumes.append(await stream.start("second", last_turn_id=1))
        await stream.send(turn_started(2, resumes=1), turn_completed(2, "near.", COMPLETED))

    events = hold(in_turn(before, after))
    assert (resumes[0].resume_token, resumes[0].playback.turn_id) == ("first", 1)
    assert [type(event).__name__ for event in events[-4:]] == ["GoAway", "Resumed", "TurnStarted", "TurnCompleted"]
