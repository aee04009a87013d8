"""A connection that takes nothing holds up no microphone, and loses nothing. In virtual time."""

import asyncio

import numpy as np
import pytest

from avatar.v1 import ConverseConfig
from avatar_client.clock import now
from avatar_client.conversation import AsyncConversation
from tests.unit.client.fake_call import FakeCall

SOUND = np.arange(16_000, dtype="<i2")


class HangingCall(FakeCall):
    """Takes no request until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.taking = asyncio.Event()
        self.taking.set()

    async def send_serialized_message(self, message: bytes) -> None:
        """Take a request, when that is possible."""
        await self.taking.wait()
        await super().send_serialized_message(message)

    def heard(self) -> list[int]:
        """All samples that were taken."""
        data = b"".join(request.audio.data for _, request in self.sent if request.HasField("audio"))
        return [int(sample) for sample in np.frombuffer(data, "<i2")]


async def test_a_microphone_goes_on_while_nothing_can_be_sent_and_all_of_it_arrives() -> None:
    call = HangingCall()
    async with AsyncConversation(lambda: call, ConverseConfig(), "nowhere", 0.0) as conversation:
        call.taking.clear()
        began_s = now()
        for first in range(0, 16_000, 640):
            await conversation.send_pcm(SOUND[first : first + 640].tobytes())
        assert now() - began_s == pytest.approx(0.2), "the first piece alone is waited for"
        assert call.heard() == []
        call.taking.set()
        await conversation.end_input()
        assert call.heard() == SOUND.tolist()


async def test_who_sends_much_faster_than_it_goes_is_held_up() -> None:
    call = HangingCall()
    async with AsyncConversation(lambda: call, ConverseConfig(), "nowhere", 0.0) as conversation:
        call.taking.clear()

        async def send() -> None:
            for _ in range(40):
                await conversation.send_pcm(SOUND.tobytes())

        sending = asyncio.create_task(send())
        await asyncio.sleep(10.0)
        assert not sending.done()
        assert conversation._outbox.waiting_s == pytest.approx(30.0, abs=1.0)
        call.taking.set()
        await sending
        await conversation.end_input()
        assert call.heard() == SOUND.tolist() * 40


async def test_a_stream_can_be_left_while_nothing_can_be_sent() -> None:
    call = HangingCall()
    async with AsyncConversation(lambda: call, ConverseConfig(), "nowhere", 0.0) as conversation:
        call.taking.clear()
        await conversation.send_text("How far?")
    assert call.done()
