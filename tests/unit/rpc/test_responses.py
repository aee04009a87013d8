"""What waits for the writer: bounded in messages and bytes, and given up where a turn is interrupted."""

import asyncio
from contextlib import suppress

import pytest

from avatar_service.events import Cause, Event, Interrupted, Media, ReplyText, SpokenText
from avatar_service.media.types import Frame, SpeechChunk
from avatar_service.rpc.responses import EVENTS, MEDIA_BYTES, Responses


def frame(size: int, turn_id: int = 1) -> Media:
    return Media(turn_id, Frame(0, bytes(size), 0))


async def filled(responses: Responses, event: Event, within_s: float = 1.0) -> int:
    """How often an event can be sent before the channel is full."""
    sent = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while True:
                await responses.send(event)
                sent += 1
    return sent


@pytest.mark.parametrize(
    ("event", "waiting"),
    [
        (ReplyText(1, "Hello"), EVENTS),
        (frame(40_000), EVENTS),
        (Media(1, SpeechChunk(0, bytes(1_920))), EVENTS),
        (frame(1 << 20), 4),
        (frame((1 << 20) - 1), 5),
    ],
)
async def test_it_is_full_by_number_or_by_bytes(event: Event, waiting: int) -> None:
    assert await filled(Responses(), event) == waiting
    size = len(event.packet.image) if isinstance(event, Media) and isinstance(event.packet, Frame) else 0
    assert size * waiting < MEDIA_BYTES + (1 << 20)


async def test_what_is_taken_out_makes_room() -> None:
    responses = Responses()
    await filled(responses, frame(1 << 20))
    await anext(responses)
    assert await filled(responses, frame(1 << 19)) == 2


async def test_media_of_an_interrupted_turn_that_wait_are_not_sent_any_more() -> None:
    responses, interrupted = Responses(), Interrupted(2, 0.4, Cause.BARGE_IN)
    kept: list[Event] = [frame(1, turn_id=1), ReplyText(2, "Hello"), frame(1, turn_id=0)]
    for event in (*kept, frame(1, turn_id=2), SpokenText(2, "Hello ", 0.0, 0.4, estimated=False)):
        await responses.send(event)
    await responses.send(Media(2, SpeechChunk(0, b"")))
    await responses.send(interrupted)
    responses.close()
    assert [event async for event in responses] == [*kept, interrupted]


async def test_an_interruption_does_not_wait_behind_the_media_that_it_ends() -> None:
    responses = Responses()
    await filled(responses, frame(1 << 20))
    async with asyncio.timeout(0.1):
        await responses.send(Interrupted(1, 0.4, Cause.BARGE_IN))
    assert len(responses) == 1


async def test_how_long_the_next_event_has_waited() -> None:
    responses = Responses()
    assert responses.waiting_s == 0.0
    await responses.send(frame(1))
    await asyncio.sleep(1.0)
    await responses.send(frame(1))
    await asyncio.sleep(0.5)
    assert responses.waiting_s == pytest.approx(1.5)
    await anext(responses)
    assert responses.waiting_s == pytest.approx(0.5)
    await anext(responses)
    assert responses.waiting_s == 0.0


async def test_an_interruption_makes_room_and_what_is_left_keeps_its_order_and_its_times() -> None:
    responses = Responses()
    for number in range(EVENTS):
        await responses.send(ReplyText(1, f"{number}") if number % 2 else frame(1))
    await asyncio.sleep(5.0)
    async with asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(responses.send(ReplyText(2, f"{number}")))
        await asyncio.sleep(1.0)
        assert len(responses) == EVENTS
        tasks.create_task(responses.send(Interrupted(1, 0.4, Cause.BARGE_IN)))
        await asyncio.sleep(1.0)
    assert len(responses) == EVENTS // 2 + 4
    assert responses.waiting_s == pytest.approx(7.0)
    responses.close()
    left = [event async for event in responses]
    assert left[: EVENTS // 2] == [ReplyText(1, f"{number}") for number in range(EVENTS) if number % 2]
