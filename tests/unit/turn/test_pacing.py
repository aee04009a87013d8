"""Packets to the client, no further ahead of play-out than the lead."""

import asyncio
import math
from fractions import Fraction

import pytest

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.errors import ReaderTooSlow
from avatar_service.events import Media, ReplyFinished, State, StateChanged
from avatar_service.media.play_out import PlayOut
from avatar_service.media.types import Frame, Packet, SpeechChunk
from avatar_service.turn.pacing import LATE_S, READER_STALL_S, pace, until_played
from tests.unit.stages.collecting import Events, closed_channel
from tests.unit.turn.packets import packets, turn


def times_s(out: Events, began_s: float, kind: type[Packet]) -> list[float]:
    timed = zip(out.times_s, out.sent, strict=True)
    return [at_s - began_s for at_s, e in timed if isinstance(e, Media) and isinstance(e.packet, kind)]


async def test_the_lead_goes_out_at_once_and_the_rest_in_step_with_play_out() -> None:
    out, began_s = Events(), clock.now()
    await pace(await closed_channel(packets(50)), turn(), out)
    expected = [max(0.0, (index + 1) * 0.04 - 1.0) for index in range(50)]
    assert times_s(out, began_s, SpeechChunk) == pytest.approx(expected, abs=1e-5)
    assert times_s(out, began_s, Frame) == pytest.approx(expected, abs=1e-5)


async def test_the_last_media_are_announced_and_then_played() -> None:
    out, began_s, paced = Events(), clock.now(), turn()
    await pace(await closed_channel(packets(50)), paced, out)
    assert out.sent[0] == StateChanged(State.SPEAKING, 1)
    finished = out.sent[-1]
    assert isinstance(finished, ReplyFinished)
    assert finished.media_s == pytest.approx(2.0)
    assert out.times_s[-1] - began_s == clock.now() - began_s == pytest.approx(1.0)
    await until_played(paced)
    assert clock.now() - began_s == pytest.approx(2.0)


async def test_reports_that_play_out_is_late_hold_the_media_back() -> None:
    out, began_s, paced = Events(), clock.now(), turn()

    async def report() -> None:
        for step in range(40):
            await asyncio.sleep(0.1)
            paced.play_out.reported(step * 0.05)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(report())
        await pace(await closed_channel(packets(50)), paced, out)
        assert times_s(out, began_s, SpeechChunk)[-1] > 1.7


async def test_a_client_that_never_reports_the_end_does_not_keep_the_turn() -> None:
    out, began_s, paced = Events(), clock.now(), turn()

    async def stand_still() -> None:
        while True:
            await asyncio.sleep(0.2)
            paced.play_out.reported(0.5)

    standing = asyncio.create_task(stand_still())
    await pace(await closed_channel(packets(20)), paced, out)
    await until_played(paced)
    standing.cancel()
    await asyncio.wait({standing})
    assert clock.now() - began_s == pytest.approx(0.8 + LATE_S, abs=0.5)


async def test_a_client_that_says_it_has_stopped_ends_the_turn() -> None:
    out, began_s, paced = Events(), clock.now(), turn()
    await pace(await closed_channel(packets(20)), paced, out)
    asyncio.get_running_loop().call_later(0.3, paced.play_out.reported, 0.28, True)
    await until_played(paced)
    assert clock.now() - began_s == pytest.approx(0.3)
    assert paced.play_out.heard_s == pytest.approx(0.28)


async def test_without_reports_the_whole_turn_was_heard_when_it_is_over() -> None:
    out, paced = Events(), turn()
    await pace(await closed_channel(packets(20)), paced, out)
    await until_played(paced)
    assert paced.play_out.heard_s == pytest.approx(0.8)


@pytest.mark.parametrize("speed", [0.5, 0.97, 1.0])
async def test_with_reports_the_lead_holds_exactly(speed: float) -> None:
    """The client plays slower than it says it should, and reports each 200 ms what it has really played."""
    out, paced, began_s = Events(), turn(), clock.now()
    leads_s: list[float] = []

    async def report() -> None:
        while True:
            await asyncio.sleep(0.2)
            played_s = min((clock.now() - began_s) * speed, paced.play_out.sent_s)
            leads_s.append(paced.play_out.sent_s - played_s)
            paced.play_out.reported(played_s)

    async with asyncio.TaskGroup() as tasks:
        reporting = tasks.create_task(report())
        await pace(await closed_channel(packets(200)), paced, out)
        reporting.cancel()
    carried_on_s = 0.2 * (1 - speed)
    """What the server cannot know: the position since the report before."""
    assert max(leads_s) <= 1.0 + carried_on_s + 1e-6
    assert min(leads_s) > 0.9
    assert len(times_s(out, began_s, SpeechChunk)) == 200


async def test_a_client_that_stops_reporting_gets_no_more_than_the_lead_and_then_loses_its_stream() -> None:
    out, paced, began_s = Events(), turn(), clock.now()
    asyncio.get_running_loop().call_later(1.0, paced.play_out.reported, 0.9)
    with pytest.raises(ReaderTooSlow, match="nothing was played for 10 s while media waited"):
        await pace(await closed_channel(packets(500)), paced, out)
    assert clock.now() - began_s == pytest.approx(1.0 + 0.5 + READER_STALL_S, abs=0.05)
    assert paced.play_out.sent_s == pytest.approx(0.9 + 0.5 + 1.0, abs=0.041)


async def test_reports_without_progress_are_no_progress() -> None:
    out, paced, began_s = Events(), turn(), clock.now()

    async def stand_still() -> None:
        while True:
            await asyncio.sleep(0.2)
            paced.play_out.reported(0.2)

    standing = asyncio.create_task(stand_still())
    with pytest.raises(ReaderTooSlow):
        await pace(await closed_channel(packets(500)), paced, out)
    standing.cancel()
    await asyncio.wait({standing})
    assert clock.now() - began_s == pytest.approx(READER_STALL_S, abs=0.5)


async def test_a_client_that_pauses_for_less_than_that_goes_on_where_it_was() -> None:
    out, paced = Events(), turn()

    async def report() -> None:
        for step in range(100):
            await asyncio.sleep(0.2 if step != 10 else READER_STALL_S - 1.0)
            paced.play_out.reported(0.2 * step)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(report())
        await pace(await closed_channel(packets(300)), paced, out)
    assert [e.packet.index for e in out.sent if isinstance(e, Media) and isinstance(e.packet, SpeechChunk)] == [
        *range(300)
    ]
    assert paced.play_out.stalls == 0


async def test_a_turn_without_media_says_nothing() -> None:
    out = Events()
    await pace(await closed_channel([]), turn(), out)
    assert out.sent == []


async def test_media_that_come_late_go_out_at_once() -> None:
    out, began_s, late = Events(), clock.now(), Channel[Packet]("packets", 2)

    async def send() -> None:
        for packet in packets(10):
            await asyncio.sleep(0.05)
            await late.send(packet)
        late.close()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        await pace(late, turn(), out)
    assert times_s(out, began_s, SpeechChunk) == pytest.approx([0.05 + 0.1 * index for index in range(10)])


async def test_unpaced_media_wait_for_nobody_and_are_over_when_they_are_sent() -> None:
    out, began_s, unpaced = Events(), clock.now(), turn(unpaced=True)
    await pace(await closed_channel(packets(500)), unpaced, out)
    await until_played(unpaced)
    assert clock.now() - began_s == pytest.approx(0.0, abs=1e-6)
    assert len(times_s(out, began_s, SpeechChunk)) == 500
    assert unpaced.play_out.stalls == 0
    finished = out.sent[-1]
    assert isinstance(finished, ReplyFinished)
    assert finished.media_s == pytest.approx(20.0)


async def test_a_clock_of_whole_milliseconds_makes_it_wait_once_for_each_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, waits = asyncio.get_running_loop(), 0
    exact, next_report = loop.time, PlayOut.next_report
    monkeypatch.setattr(loop, "time", lambda: math.floor(1_000 * exact()) / 1_000)

    async def counted(play_out: PlayOut, within_s: float) -> None:
        nonlocal waits
        waits += 1
        assert waits <= 75, "it is woken and waits again"
        # As uvloop's timers: whole milliseconds, up to half of one too early.
        await next_report(play_out, round(1_000 * within_s) / 1_000 - 0.0005)

    monkeypatch.setattr(PlayOut, "next_report", counted)
    out, began_s = Events(), clock.now()
    await pace(await closed_channel(packets(75)), turn(fps=Fraction(30_000, 1_001)), out)
    ends_s = [(index + 1) * 1.001 / 30 - 1.0 for index in range(75)]
    assert times_s(out, began_s, SpeechChunk) == pytest.approx([max(0.0, end_s) for end_s in ends_s], abs=2e-3)
