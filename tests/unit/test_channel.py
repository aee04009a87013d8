"""The bounded channel between stages."""

import asyncio
import random

import pytest

from avatar_service.channel import Channel, ChannelClosed


async def drain(channel: Channel[int]) -> list[int]:
    return [item async for item in channel]


@pytest.mark.parametrize("capacity", [0, -1])
async def test_a_channel_without_room_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="frames: capacity must be at least 1"):
        Channel[int]("frames", capacity)


async def test_items_come_out_in_the_order_in_which_they_went_in() -> None:
    channel = Channel[int]("numbers", 8)
    for item in range(8):
        await channel.send(item)
    channel.close()
    assert await drain(channel) == list(range(8))


async def test_a_full_channel_makes_its_sender_wait_until_there_is_room() -> None:
    channel = Channel[int]("numbers", 2)
    await channel.send(0)
    await channel.send(1)
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(channel.send(2))
        await asyncio.sleep(1.0)
        assert not sending.done()
        assert len(channel) == 2
        assert await anext(channel) == 0
    assert len(channel) == 2


async def test_an_empty_channel_makes_its_receiver_wait() -> None:
    channel = Channel[int]("numbers", 1)
    async with asyncio.TaskGroup() as tasks:
        receiving = tasks.create_task(anext(channel))
        await asyncio.sleep(1.0)
        await channel.send(7)
    assert receiving.result() == 7


async def test_what_waits_in_a_closed_channel_is_still_received() -> None:
    channel = Channel[int]("numbers", 4)
    await channel.send(1)
    channel.close()
    assert await drain(channel) == [1]
    assert await drain(channel) == []


async def test_sending_into_a_closed_channel_is_an_error() -> None:
    channel = Channel[int]("numbers", 4)
    channel.close()
    with pytest.raises(ChannelClosed, match="numbers"):
        await channel.send(1)


async def test_closing_wakes_everyone_who_waits() -> None:
    full, empty = Channel[int]("full", 1), Channel[int]("empty", 1)
    await full.send(0)
    senders = [asyncio.create_task(full.send(n)) for n in range(3)]
    receivers = [asyncio.create_task(drain(empty)) for _ in range(3)]
    await asyncio.sleep(0.1)
    full.close()
    empty.close()
    outcomes = await asyncio.gather(*senders, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ChannelClosed] * 3
    assert await asyncio.gather(*receivers) == [[], [], []]
    assert len(full) == 1


async def test_a_cancelled_send_leaves_nothing_behind() -> None:
    channel = Channel[int]("numbers", 1)
    await channel.send(0)
    sending = asyncio.create_task(channel.send(1))
    await asyncio.sleep(0.1)
    sending.cancel()
    await asyncio.wait({sending})
    channel.close()
    assert await drain(channel) == [0]


async def test_a_receiver_cancelled_together_with_its_wakeup_leaves_the_item_to_the_next() -> None:
    channel = Channel[int]("numbers", 1)
    first = asyncio.create_task(drain(channel))
    second = asyncio.create_task(drain(channel))
    await asyncio.sleep(0.1)
    await channel.send(5)  # wakes the first
    first.cancel()  # before it could run
    await asyncio.wait({first}, timeout=1.0)
    channel.close()
    assert await second == [5]


async def test_a_sender_cancelled_together_with_its_wakeup_leaves_the_room_to_the_next() -> None:
    channel = Channel[int]("numbers", 1)
    await channel.send(0)
    first = asyncio.create_task(channel.send(1))
    second = asyncio.create_task(channel.send(2))
    await asyncio.sleep(0.1)
    assert await anext(channel) == 0  # wakes the first
    first.cancel()
    await second
    assert await anext(channel) == 2


@pytest.mark.parametrize("batch", range(20))
async def test_whatever_the_interleaving_nothing_is_lost_doubled_or_over_the_limit(batch: int) -> None:
    for seed in range(25 * batch, 25 * batch + 25):
        await interleave(random.Random(seed))


async def interleave(chance: random.Random) -> None:
    """Senders and receivers of one channel at random moments, some of them cancelled."""
    channel = Channel[tuple[int, int]]("numbers", chance.randint(1, 4))
    received: list[tuple[int, int]] = []
    sent: list[tuple[int, int]] = []

    async def send(sender: int) -> None:
        for number in range(12):
            await asyncio.sleep(chance.choice([0.0, 0.0, 0.001, 0.01]))
            await channel.send((sender, number))
            sent.append((sender, number))
            assert len(channel) <= channel.capacity

    async def receive() -> None:
        async for item in channel:
            received.append(item)
            await asyncio.sleep(chance.choice([0.0, 0.0, 0.001, 0.01]))

    async def disturb(tasks: list[asyncio.Task[None]]) -> None:
        """Cancel some, at random moments."""
        for task in tasks:
            await asyncio.sleep(chance.uniform(0.0, 0.03))
            task.cancel()

    senders = [asyncio.create_task(send(sender)) for sender in range(chance.randint(1, 4))]
    receivers = [asyncio.create_task(receive()) for _ in range(chance.randint(1, 3))]
    doomed = chance.sample(senders, len(senders) // 2) + chance.sample(receivers, len(receivers) - 1)
    await asyncio.gather(disturb(doomed), asyncio.wait(senders))
    channel.close()
    await asyncio.wait(receivers)
    assert all(task.cancelled() or task.exception() is None for task in senders + receivers)
    # A sender that was cancelled as `send` returned has handed its item over all the same.
    assert set(sent) <= set(received)
    assert len(received) == len(set(received))
    if len(receivers) == 1:
        for sender in range(len(senders)):
            numbers = [number for by, number in received if by == sender]
            assert numbers == sorted(numbers)


async def test_an_item_is_taken_without_waiting_and_makes_room() -> None:
    channel = Channel[int]("numbers", 1)
    assert channel.take() is None
    await channel.send(0)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(channel.send(1))
        await asyncio.sleep(0.1)
        assert channel.take() == 0
    assert channel.take() == 1


async def test_a_sender_that_waits_is_woken_once_there_is_room_for_all_that_it_wants() -> None:
    channel = Channel[int]("numbers", 4, refill=3)
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(_send_all(channel, 7))
        await asyncio.sleep(0.1)
        for item in range(2):
            assert await anext(channel) == item
            await asyncio.sleep(0.1)
            assert len(channel) == 3 - item, "it sleeps on"
        assert await anext(channel) == 2
        await sending
    assert len(channel) == 4


async def _send_all(channel: Channel[int], count: int) -> None:
    for item in range(count):
        await channel.send(item)


@pytest.mark.parametrize("refill", [0, 5])
async def test_a_refill_that_there_is_never_room_for_is_refused(refill: int) -> None:
    with pytest.raises(ValueError, match=f"frames: refill must be from 1 to its capacity 4, not {refill}"):
        Channel[int]("frames", 4, refill=refill)
