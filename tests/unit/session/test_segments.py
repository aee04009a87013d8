"""The caller's voice, cut into segments and chunks."""

import asyncio
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar_service.media.timeline import Timeline
from avatar_service.media.types import SpeechChunk
from avatar_service.session.segments import Segments
from avatar_service.stages.relay import SegmentBegan, SegmentEnded
from tests import virtual_time
from tests.animating import own_voice

TIMELINE = Timeline(24_000, Fraction(25))


async def items_of(segments: Segments) -> list[object]:
    await segments.close()
    return [item async for item in segments.waiting]


async def test_a_segment_begins_with_its_first_voice_and_ends_padded() -> None:
    segments = Segments(TIMELINE, 30.0)
    await asyncio.sleep(1.0)
    await segments.push(own_voice(0.05))
    assert segments.open_id == 1
    began, first, last, ended = await items_of(segments)
    assert began == SegmentBegan(1, pytest.approx(1001.0))  # type: ignore[arg-type]
    assert isinstance(first, SpeechChunk)
    assert isinstance(last, SpeechChunk)
    assert first.pcm + last.pcm == own_voice(0.05) + bytes(1_440)
    assert ended == SegmentEnded()
    assert segments.open_id == 0


async def test_an_end_without_voice_is_none() -> None:
    segments = Segments(TIMELINE, 30.0)
    await segments.end()
    await segments.push(own_voice(0.04))
    await segments.end()
    await segments.end()
    assert [type(item) for item in await items_of(segments)] == [SegmentBegan, SpeechChunk, SegmentEnded]
    assert segments.last_id == 1


async def test_ids_rise_from_one() -> None:
    segments = Segments(TIMELINE, 30.0)
    for _ in range(3):
        await segments.push(own_voice(0.01))
        await segments.end()
    assert [item.segment_id for item in await items_of(segments) if isinstance(item, SegmentBegan)] == [1, 2, 3]


async def test_whoever_pushes_more_than_may_wait_waits_too() -> None:
    segments = Segments(TIMELINE, 1.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await segments.push(own_voice(60.0))
    assert len(segments.waiting) == 25


@given(splits=st.lists(st.integers(1, 20_000), max_size=30), rate_hz=st.sampled_from([8_000, 11_025, 24_000, 44_100]))
def test_the_chunks_depend_on_the_voice_alone(splits: list[int], rate_hz: int) -> None:
    async def chunks(pieces: list[bytes]) -> list[object]:
        segments = Segments(Timeline(rate_hz, Fraction(25)), 60.0)
        for piece in pieces:
            await segments.push(piece)
        return [item for item in await items_of(segments) if isinstance(item, SpeechChunk)]

    voice, pieces, begin = own_voice(2.0, rate_hz=rate_hz), [], 0
    for split in splits:
        pieces.append(voice[begin : begin + 2 * split])
        begin += 2 * split
    pieces.append(voice[begin:])
    whole = virtual_time.run(chunks([voice]))
    assert virtual_time.run(chunks([piece for piece in pieces if piece])) == whole
    assert len(whole) == 50
