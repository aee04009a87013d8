"""Packets to the client, no further ahead of play-out than the lead."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.events import Media, ReplyFinished, Source, State, StateChanged
from avatar_service.media.types import Frame, Packet, SpeechChunk
from avatar_service.turn.pacing import LATE_S, pace, until_played
from avatar_service.turn.turn import Turn, UserInput
from tests.scenario import MEDIA
from tests.unit.stages.collecting import Events, closed_channel


def turn(**media: Any) -> Turn:
    return Turn(1, UserInput(Source.TEXT, text="hello"), replace(MEDIA, **media))


def packets(chunks: int) -> list[Packet]:
    return [
        packet for index in range(chunks) for packet in (SpeechChunk(index, bytes(1_920)), Frame(index, b"", index))
    ]


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
