"""Frames are encoded on their way to the client: where key frames stand, and what becomes of those that are lost."""

import asyncio
from contextlib import suppress
from fractions import Fraction

import pytest

from avatar_service.errors import EngineUnavailable
from avatar_service.events import Event, Media, State, StateChanged
from avatar_service.media.frame_codec import JPEG, FrameEncoding, FrameFormat
from avatar_service.media.types import Frame, SpeechChunk
from avatar_service.stages.encode import encoded
from tests.fakes.workers import FakeWorkers
from tests.pictures import h264_frames, jpeg, pixels_of, psnr_db
from tests.unit.stages.collecting import Events

FPS = Fraction(25)
H264 = FrameFormat(FrameEncoding.H264, keyframe_interval_s=0.4)


class Client(Events):
    """Takes an event in 1 ms."""

    async def send(self, event: Event) -> None:
        """Keep an event."""
        await asyncio.sleep(0.001)
        await super().send(event)


class Line:
    """To a client that wants frames in a format, which takes 1 ms to encode one."""

    def __init__(self, wanted: FrameFormat) -> None:
        self.events = Client()
        self.out = encoded(self.events, wanted, FPS, FakeWorkers(work_s=0.001))

    async def send(self, turn_id: int, *indices: int, images: bytes | None = None) -> None:
        for index in indices:
            image = jpeg(index) if images is None else images
            await self.out.send(Media(turn_id, Frame(index, image, index % 7)))

    @property
    def frames(self) -> list[Frame]:
        packets = [event.packet for event in self.events.sent if isinstance(event, Media)]
        return [packet for packet in packets if isinstance(packet, Frame)]

    @property
    def keyframes(self) -> list[bool]:
        return [frame.keyframe for frame in self.frames]


def only(*places: int, of: int) -> list[bool]:
    """True at these places alone."""
    return [place in places for place in range(of)]


async def test_jpeg_costs_nothing() -> None:
    events = Events()
    assert encoded(events, JPEG, FPS, FakeWorkers()) is events


async def test_what_is_no_frame_goes_on_untouched_and_in_order() -> None:
    line = Line(H264)
    others: list[Event] = [StateChanged(State.SPEAKING, 1), Media(1, SpeechChunk(0, b"ab"))]
    await line.out.send(others[0])
    await line.send(1, 0)
    await line.out.send(others[1])
    assert [line.events.sent[0], line.events.sent[2]] == others


async def test_raw_frames_each_stand_alone_and_keep_their_place() -> None:
    line = Line(FrameFormat(FrameEncoding.RAW))
    await line.send(3, 0, 1, 5)
    assert [(frame.index, frame.loop_index) for frame in line.frames] == [(0, 0), (1, 1), (5, 5)]
    assert line.keyframes == [True] * 3
    assert [frame.image for frame in line.frames] == [pixels_of(jpeg(index)).tobytes() for index in (0, 1, 5)]


async def test_each_turn_and_each_idle_phase_begins_with_a_key_frame() -> None:
    line = Line(H264)
    await line.send(0, 0, 1, 2)
    await line.send(1, 0, 1)
    await line.send(0, 0, 1)
    await line.send(0, 0, 1)
    await line.send(2, 4, 5)
    assert line.keyframes == only(0, 3, 5, 7, 9, of=11)


async def test_key_frames_are_no_further_apart_than_the_interval_though_frames_are_held() -> None:
    line = Line(H264)
    await line.send(1, *range(10), 10, 11, 12, 25, 26, 34, 35)
    indices = [frame.index for frame in line.frames if frame.keyframe]
    assert indices == [0, 10, 25, 35]


async def test_every_frame_can_be_decoded_and_shows_its_picture() -> None:
    line = Line(H264)
    await line.send(0, *range(7))
    await line.send(1, *range(30))
    shown = [*range(7), *range(30)]
    for index, frame in zip(shown, h264_frames([frame.image for frame in line.frames]), strict=True):
        assert psnr_db(pixels_of(jpeg(index)), frame.to_ndarray(format="rgb24")) > 34


async def test_after_a_frame_that_cannot_be_encoded_comes_a_key_frame() -> None:
    line = Line(H264)
    await line.send(1, 0, 1)
    with pytest.raises(EngineUnavailable, match=r"encode \(h264\): 10 bytes are not a JPEG"):
        await line.send(1, 2, images=b"no picture")
    await line.send(1, 3, 4)
    assert [frame.index for frame in line.frames] == [0, 1, 3, 4]
    assert line.keyframes == only(0, 2, of=4)


@pytest.mark.parametrize("cancel_at_s", [0.0005, 0.0015])
async def test_a_sender_that_is_cancelled_leaves_a_stream_that_can_be_decoded(cancel_at_s: float) -> None:
    """Whether its frame is being encoded, or waits to be taken, when the cancel comes."""
    line = Line(H264)
    await line.send(0, 0, 1)
    sending = asyncio.create_task(line.send(0, 2))
    await asyncio.sleep(cancel_at_s)
    sending.cancel()
    await line.send(0, 3, 4)
    with suppress(asyncio.CancelledError):
        await sending
    assert [frame.index for frame in line.frames] == [0, 1, 3, 4]
    assert line.keyframes == only(0, 2, of=4)
    assert len(h264_frames([frame.image for frame in line.frames[2:]])) == 2
