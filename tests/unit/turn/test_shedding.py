"""To a client that reads too slowly frames are shed before its voice is late."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from avatar_service import clock
from avatar_service.events import Event, Media, Notice
from avatar_service.media.types import Frame, SpeechChunk
from avatar_service.rpc.responses import EVENTS, Responses
from avatar_service.turn.pacing import SHED_AFTER_S, pace
from avatar_service.turn.turn import Turn
from tests.unit.stages.collecting import closed_channel
from tests.unit.turn.packets import packets, turn


class Reader:
    """A client that takes `takes_s(event, now)` for each event; times count from its creation."""

    def __init__(self, takes_s: Callable[[Event, float], float]) -> None:
        self.responses = Responses()
        self._takes_s = takes_s
        self._began_s = clock.now()
        self.timed: list[tuple[float, Event]] = []
        self.most_waiting = 0

    async def play(self, paced: Turn, chunks: int) -> None:
        """Have a turn sent to its end, and read all of it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            await pace(await closed_channel(packets(chunks)), paced, self.responses)
            self.responses.close()

    async def _read(self) -> None:
        async for event in self.responses:
            self.timed.append((clock.now() - self._began_s, event))
            self.most_waiting = max(self.most_waiting, len(self.responses))
            await asyncio.sleep(self._takes_s(event, clock.now() - self._began_s))

    def indices(self, kind: type[Any], after_s: float = 0.0) -> list[int]:
        """The packets of a kind that came after a moment."""
        media = [e.packet for at_s, e in self.timed if isinstance(e, Media) and at_s >= after_s]
        return [packet.index for packet in media if isinstance(packet, kind)]


def stands(from_s: float, until_s: float) -> Callable[[Event, float], float]:
    """Reads nothing for a while, and at once what comes before and after."""
    return lambda event, now: until_s - now if from_s <= now < until_s else 0.0


async def test_a_client_that_reads_nothing_for_five_seconds_misses_frames_and_no_voice() -> None:
    reader, paced = Reader(stands(2.0, 7.0)), turn()
    await reader.play(paced, 500)
    assert reader.indices(SpeechChunk) == list(range(500))
    shown = reader.indices(Frame)
    assert len(shown) + paced.frames_shed == 500
    assert 0 < paced.frames_shed <= EVENTS
    notices = [event for _, event in reader.timed if isinstance(event, Notice)]
    assert [(notice.reason, notice.turn_id) for notice in notices] == [("FRAMES_SHED", 1)]
    assert reader.most_waiting <= EVENTS


async def test_video_returns_by_itself() -> None:
    reader, paced = Reader(stands(2.0, 7.0)), turn()
    await reader.play(paced, 500)
    assert reader.indices(Frame, after_s=7.1) == list(range(reader.indices(SpeechChunk, after_s=7.1)[0], 500))


async def test_after_a_stand_the_lead_holds_again_and_the_voice_counts_as_late_not_as_starved() -> None:
    reader, paced = Reader(stands(2.0, 7.0)), turn()
    await reader.play(paced, 500)
    assert (paced.play_out.stalls, paced.play_out.stalled_s) == (0, 0.0)
    assert not [event for _, event in reader.timed if isinstance(event, Notice) and event.reason != "FRAMES_SHED"]
    times_s = [at_s for at_s, e in reader.timed if isinstance(e, Media) and isinstance(e.packet, SpeechChunk)]
    assert times_s[-1] - 7.0 <= 20.0 - 0.04 * reader.indices(SpeechChunk, after_s=7.0)[0]


async def test_a_client_too_slow_for_all_frames_gets_its_voice_in_time_and_as_many_frames_as_it_can_take() -> None:
    """A frame takes it 60 ms of every 40, a piece of voice next to nothing."""
    reader, paced = Reader(lambda event, now: 0.06 if _is_frame(event) else 0.001), turn()
    await reader.play(paced, 500)
    assert reader.indices(SpeechChunk) == list(range(500))
    late_s = [
        at_s - event.packet.index * 0.04
        for at_s, event in reader.timed
        if isinstance(event, Media) and isinstance(event.packet, SpeechChunk)
    ]
    assert max(late_s) <= 1.0, "of the second that is sent at once every frame goes out before it shows who is slow"
    assert max(late_s[100:]) <= SHED_AFTER_S + 0.1
    assert 250 < len(reader.indices(Frame)) < 340
    assert paced.frames_shed == 500 - len(reader.indices(Frame))


async def test_a_client_that_reads_sheds_nothing() -> None:
    reader, paced = Reader(lambda event, now: 0.005), turn()
    await reader.play(paced, 100)
    assert (len(reader.indices(Frame)), paced.frames_shed) == (100, 0)


async def test_of_an_unpaced_turn_nothing_is_shed() -> None:
    reader, unpaced = Reader(lambda event, now: 0.2), turn(unpaced=True)
    await reader.play(unpaced, 50)
    assert (len(reader.indices(Frame)), unpaced.frames_shed) == (50, 0)


async def test_shed_frames_are_told_beside_those_that_were_sent() -> None:
    reader, paced = Reader(stands(2.0, 7.0)), turn()
    paced.interleaving.due = paced.interleaving.sent = 500
    await reader.play(paced, 500)
    completed = paced.completed()
    assert completed.frames_shed == paced.frames_shed
    assert completed.frames_sent == len(reader.indices(Frame))
    assert completed.frames_held == 0


@pytest.mark.parametrize("lead_s", [0.2, 5.0])
async def test_whatever_the_lead_the_order_holds(lead_s: float) -> None:
    reader, paced = Reader(stands(1.0, 3.0)), turn(lead_s=lead_s)
    await reader.play(paced, 250)
    assert reader.indices(SpeechChunk) == list(range(250))
    assert reader.indices(Frame) == sorted(set(reader.indices(Frame)))


def _is_frame(event: Event) -> bool:
    return isinstance(event, Media) and isinstance(event.packet, Frame)
