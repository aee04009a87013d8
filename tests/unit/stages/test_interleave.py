"""Voice and frames to packets in play-out order."""

import asyncio
from fractions import Fraction

import pytest

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.media.play_out import PlayOut
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import Frame, Packet, SpeechChunk
from avatar_service.stages.interleave import FIRST_FRAME_WAIT_S, SAFE_LEAD_S, Interleaver

TIMELINE = Timeline(24_000, Fraction(25))


def chunk(index: int) -> SpeechChunk:
    return SpeechChunk(index, bytes(1_920))


def frame(index: int) -> Frame:
    return Frame(index, b"", index)


class Joined:
    """An interleaver whose voice is there at once and whose frames come when they are told to."""

    def __init__(self, *, unpaced: bool = False) -> None:
        self.play_out = PlayOut(unpaced=unpaced)
        self.audio = Channel[SpeechChunk]("audio", 1_000)
        self.frames = Channel[Frame]("frames", 1_000)
        self.interleaver = Interleaver(TIMELINE, self.play_out, self.frames)
        self.timed: list[tuple[float, Packet]] = []

    async def run(self, chunks: int, frames_at_s: dict[int, float]) -> list[str]:
        """Play `chunks` of voice with frames that come at these seconds; returns the order, such as a0 f0 a1."""
        for index in range(chunks):
            await self.audio.send(chunk(index))
        self.audio.close()
        began_s = clock.now()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._render(frames_at_s))
            await self._play(began_s)
        return [f"{'a' if isinstance(p, SpeechChunk) else 'f'}{p.index}" for _, p in self.timed]

    async def _render(self, frames_at_s: dict[int, float]) -> None:
        began_s = clock.now()
        for index, at_s in frames_at_s.items():
            await asyncio.sleep(max(0.0, began_s + at_s - clock.now()))
            await self.frames.send(frame(index))
        self.frames.close()

    async def _play(self, began_s: float) -> None:
        async for packet in self.interleaver.packets(self.audio):
            if isinstance(packet, SpeechChunk):
                self.play_out.sent(TIMELINE.offset_s(packet.index + 1))
            self.timed.append((clock.now() - began_s, packet))

    def time_s(self, index: int) -> float:
        """When chunk `index` went out."""
        return next(at_s for at_s, p in self.timed if isinstance(p, SpeechChunk) and p.index == index)


async def test_each_chunk_comes_before_its_frame() -> None:
    joined = Joined()
    order = await joined.run(3, dict.fromkeys(range(3), 0.0))
    assert order == ["a0", "f0", "a1", "f1", "a2", "f2"]
    assert joined.interleaver.interleaving.held == 0


async def test_the_first_chunk_waits_for_its_frame() -> None:
    joined = Joined()
    await joined.run(3, dict.fromkeys(range(3), 0.2))
    assert joined.time_s(0) == pytest.approx(0.2)
    assert joined.interleaver.interleaving.held == 0


async def test_the_first_chunk_waits_no_longer_than_its_limit() -> None:
    joined = Joined()
    order = await joined.run(3, dict.fromkeys(range(3), 9.0))
    assert joined.time_s(0) == pytest.approx(FIRST_FRAME_WAIT_S)
    assert order == ["a0", "a1", "a2"]
    assert joined.interleaver.interleaving.held == 3


async def test_later_chunks_wait_only_while_the_client_has_enough_in_hand() -> None:
    joined = Joined()
    await joined.run(25, dict.fromkeys(range(10), 0.0))
    for index in range(11, 25):
        assert joined.time_s(index) <= max(index * 0.04 - SAFE_LEAD_S, 0.0) + 1e-6


async def test_a_late_frame_is_sent_while_it_can_still_be_shown_and_the_order_of_frames_holds() -> None:
    joined = Joined()
    order = await joined.run(20, {index: 0.0 if index < 5 else 0.35 for index in range(20)})
    frames = [name for name in order if name.startswith("f")]
    assert frames == [f"f{index}" for index in range(20) if index < 5 or index >= 8]
    assert joined.interleaver.interleaving.held == 3
    assert [name for name in order if name.startswith("a")] == [f"a{index}" for index in range(20)]


async def test_frames_that_never_come_hold_nothing_up_once_video_has_ended() -> None:
    joined = Joined()
    order = await joined.run(5, {})
    assert order == [f"a{index}" for index in range(5)]
    assert joined.time_s(4) == pytest.approx(0.0, abs=1e-6)


async def test_the_last_frames_are_awaited_as_long_as_they_can_be_shown() -> None:
    joined = Joined()
    order = await joined.run(5, {index: 0.0 if index < 4 else 0.18 for index in range(5)})
    assert order[-1] == "f4"


async def test_unpaced_each_chunk_waits_for_its_frame_however_late_it_is() -> None:
    joined = Joined(unpaced=True)
    order = await joined.run(6, {index: 30.0 * index for index in range(6)})
    assert order == [name for index in range(6) for name in (f"a{index}", f"f{index}")]
    assert joined.time_s(5) == pytest.approx(150.0)
    assert joined.interleaver.interleaving.held == 0


async def test_unpaced_a_frame_that_was_lost_is_not_awaited() -> None:
    joined = Joined(unpaced=True)
    order = await joined.run(6, {index: 1.0 * index for index in (0, 1, 4, 5)})
    assert order == ["a0", "f0", "a1", "f1", "a2", "a3", "a4", "f4", "a5", "f5"]
    assert joined.interleaver.interleaving.held == 2
