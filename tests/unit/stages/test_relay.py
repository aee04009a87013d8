"""The caller's own voice on its way to the client and to lip-sync."""

import asyncio
from fractions import Fraction

import pytest

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.media.play_out import PlayOut
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import SpeechChunk
from avatar_service.stages.relay import CallerVoice, SegmentBegan, SegmentEnded, relay
from avatar_service.stages.voice_fork import SpeechOutput

TIMELINE = Timeline(24_000, Fraction(25))
HEAD_START = 25


def chunk(index: int) -> SpeechChunk:
    return SpeechChunk(index, bytes(1_920))


class Relayed:
    """One segment whose client plays what it gets at once."""

    def __init__(self, head_start: int = HEAD_START) -> None:
        self.voice = Channel[CallerVoice]("voice", 1_000)
        self.audio = SpeechOutput(Channel("audio", 1_000), TIMELINE)
        self.to_animate = SpeechOutput(Channel("to_animate", 1_000), TIMELINE)
        self.play_out = PlayOut()
        self.head_start = head_start
        self.heard_s: list[float] = []
        self.animated_s: list[float] = []

    async def run(self, *times_s: float) -> None:
        """Chunk k comes at the k-th time; the end follows the last."""
        began_s = clock.now()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(relay(self.voice, self.audio, self.to_animate, self.play_out, self.head_start))
            tasks.create_task(self._hear(began_s))
            tasks.create_task(self._animate(began_s))
            for index, at_s in enumerate(times_s):
                await asyncio.sleep(began_s + at_s - clock.now())
                await self.voice.send(chunk(index))
            await self.voice.send(SegmentEnded())

    async def _hear(self, began_s: float) -> None:
        async for heard in self.audio.channel:
            self.heard_s.append(clock.now() - began_s)
            self.play_out.sent(TIMELINE.offset_s(heard.index + 1))

    async def _animate(self, began_s: float) -> None:
        async for _ in self.to_animate.channel:
            self.animated_s.append(clock.now() - began_s)


def real_time(chunks: int, from_s: float = 0.0) -> list[float]:
    return [from_s + 0.04 * (index + 1) for index in range(chunks)]


async def test_lip_sync_gets_a_voice_in_real_time_at_once_and_the_client_after_the_head_start() -> None:
    relayed = Relayed()
    await relayed.run(*real_time(50))
    assert relayed.animated_s == pytest.approx(real_time(50))
    assert relayed.heard_s == pytest.approx([1.0] * 25 + real_time(50)[25:])


async def test_a_segment_that_is_shorter_goes_when_it_is_complete() -> None:
    relayed = Relayed()
    await relayed.run(*real_time(10))
    assert relayed.heard_s == pytest.approx([0.4] * 10)


async def test_a_voice_that_is_there_at_once_is_not_held() -> None:
    relayed = Relayed()
    await relayed.run(*[0.0] * 60)
    assert relayed.heard_s == pytest.approx([0.0] * 60, abs=1e-6)


async def test_after_a_pause_the_head_start_is_taken_again() -> None:
    relayed = Relayed()
    await relayed.run(*real_time(50), *real_time(50, from_s=10.0))
    assert relayed.heard_s[50:] == pytest.approx([11.0] * 25 + real_time(50, from_s=10.0)[25:])


async def test_a_pause_shorter_than_the_head_start_is_not_noticed() -> None:
    relayed = Relayed()
    await relayed.run(*real_time(50), *real_time(50, from_s=2.9))
    assert relayed.heard_s[50:] == pytest.approx(real_time(50, from_s=2.9))


async def test_without_a_head_start_nothing_is_held() -> None:
    relayed = Relayed(head_start=0)
    await relayed.run(*real_time(5))
    assert relayed.heard_s == pytest.approx(real_time(5))


async def test_the_next_segments_voice_is_left_alone() -> None:
    relayed = Relayed()
    for item in (chunk(0), SegmentEnded(), SegmentBegan(2, 0.0), chunk(0)):
        await relayed.voice.send(item)
    await relay(relayed.voice, relayed.audio, relayed.to_animate, relayed.play_out, HEAD_START)
    assert len(relayed.audio.channel) == len(relayed.to_animate.channel) == 1
    assert await anext(relayed.voice) == SegmentBegan(2, 0.0)


async def test_cancelling_closes_what_it_fills() -> None:
    relayed = Relayed()
    relaying = asyncio.create_task(
        relay(relayed.voice, relayed.audio, relayed.to_animate, relayed.play_out, HEAD_START)
    )
    await asyncio.sleep(1.0)
    relaying.cancel()
    await asyncio.wait({relaying})
    assert [c async for c in relayed.audio.channel] == [c async for c in relayed.to_animate.channel] == []
