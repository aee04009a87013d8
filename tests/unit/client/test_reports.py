"""Play-out is reported every 200 ms while a turn plays and at once when it stops. In virtual time."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from avatar.v1 import AudioChunk, ConverseConfig, ConverseResponse, Interrupted, ReplyFinished
from avatar_client.clock import now
from avatar_client.conversation import AsyncConversation
from tests.unit.client.fake_call import FakeCall

REPORT_S = 0.2


def voice(turn_id: int, seconds: float) -> list[ConverseResponse]:
    """A turn's voice, 40 ms a chunk."""
    chunks = []
    for index in range(round(seconds / 0.04)):
        chunk = AudioChunk(turn_id=turn_id, index=index, data=bytes(1920), sample_count=960)
        chunk.offset.FromMilliseconds(40 * index)
        chunks.append(ConverseResponse(audio=chunk))
    return chunks


def finished(turn_id: int) -> ConverseResponse:
    return ConverseResponse(reply_finished=ReplyFinished(turn_id=turn_id))


async def reported(
    *script: tuple[float, list[ConverseResponse]], then: Callable[[AsyncConversation], None] = lambda _: None
) -> list[tuple[float, int, float, bool]]:
    """When what was reported, of a service that responds at these times: seconds, turn, position, stopped."""
    call = FakeCall()
    conversation = AsyncConversation(lambda: call, ConverseConfig(), "nowhere", 0.0)
    began_s = now()
    async with conversation:
        then(conversation)
        for at_s, responses in script:
            asyncio.get_running_loop().call_later(at_s, call.say, responses)
        asyncio.get_running_loop().call_later(script[-1][0] + 3.0, call.end)
        async for _ in conversation:
            pass
    return [
        (round(at - began_s, 3), report.turn_id, report.position.ToMilliseconds() / 1e3, report.stopped)
        for at, report in call.reports()
    ]


async def test_a_turn_is_reported_every_200_ms_and_at_once_at_its_end() -> None:
    reports = await reported((1.0, voice(1, 1.0)), (1.5, [finished(1)]))
    times = [at for at, *_ in reports]
    assert times[0] <= 1.0 + REPORT_S
    assert max(after - before for before, after in pairwise(times)) <= REPORT_S + 0.001
    for at, turn_id, position_s, _ in reports:
        assert turn_id == 1
        assert position_s == pytest.approx(at - 1.0, abs=0.002)
    assert [stopped for *_, stopped in reports] == [False] * (len(reports) - 1) + [True], "once, at the end"
    assert times[-1] == pytest.approx(2.0, abs=0.002)
    assert 6 <= len(reports) <= 8


async def test_an_interruption_is_reported_at_once() -> None:
    stop = ConverseResponse(interrupted=Interrupted(turn_id=1))
    reports = await reported((1.0, voice(1, 1.0)), (1.33, [stop]))
    at, turn_id, position_s, stopped = reports[-1]
    assert (at, turn_id, stopped) == (1.33, 1, True)
    assert position_s == pytest.approx(0.33, abs=0.002)
    assert [stopped for *_, stopped in reports].count(True) == 1


async def test_nothing_is_reported_while_nothing_plays() -> None:
    assert await reported((1.0, [])) == []


async def test_what_a_player_tells_of_its_loudspeaker_is_what_is_reported() -> None:
    began_s = now()
    late_s = 1.15  # the loudspeaker begins so long after the stream, 0.15 s after the voice came

    def play(conversation: AsyncConversation) -> None:
        def tell() -> None:
            conversation.clock.correct(1, max(0.0, now() - began_s - late_s), now())

        for tick in range(100, 300):
            asyncio.get_running_loop().call_later(tick / 100, tell)

    reports = await reported((1.0, voice(1, 1.0)), (1.5, [finished(1)]), then=play)
    for at, _, position_s, _ in reports:
        assert position_s == pytest.approx(max(0.0, at - late_s), abs=0.012)
    assert reports[-1][0] == pytest.approx(2.15, abs=0.012), "the turn has ended when it was heard to its end"
    assert reports[-1][3]
