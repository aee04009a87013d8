"""How a stream ends for those who read it: what they are told, and that it never looks like a good end."""

import asyncio

import grpc
import pytest

from avatar.v1 import Code
from avatar_client import AsyncAvatarClient, LimitReached, StreamEnded, TakenOver
from tests.unit.client.scripted_service import Stream, failure, media, serving


def test_a_message_that_is_too_long_for_the_server_is_told_from_other_limits() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until_half_close()

    async def scenario() -> None:
        async with serving(script) as address, AsyncAvatarClient(address) as client, client.converse() as conversation:
            await conversation.send_text("a" * 5_000_000)  # gRPC takes 4 MiB
            with pytest.raises(LimitReached, match=r"a message is longer than 127\.0\.0\.1:\d+ takes.*send less"):
                async for _ in conversation:
                    pass

    asyncio.run(scenario())


def test_a_task_that_iterates_is_told_when_another_leaves_the_stream() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.send(*media(1, 1))
        await stream.until_half_close()

    async def scenario() -> None:
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in conversation:
                begun.set()

        async with serving(script) as address, AsyncAvatarClient(address) as client:
            async with client.converse() as conversation:
                reader = asyncio.create_task(read())
                await begun.wait()
            with pytest.raises(StreamEnded, match="closed on this side"):
                await reader

    asyncio.run(scenario())


def test_an_iteration_that_is_begun_again_after_a_failure_or_a_cancel_does_not_look_like_a_good_end() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until("text")
        await stream.fail(grpc.StatusCode.ABORTED, failure(Code.CODE_ABORTED, "SESSION_TAKEN_OVER", "taken over"))

    async def scenario() -> None:
        async with serving(script) as address, AsyncAvatarClient(address) as client:
            async with client.converse() as conversation:
                await conversation.send_text("hello")
                for _ in range(2):
                    with pytest.raises(TakenOver):
                        await anext(aiter(conversation))
            async with client.converse() as conversation:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(aiter(conversation)), 0.05)
                with pytest.raises(StreamEnded, match="closed on this side"):
                    await anext(aiter(conversation))

    asyncio.run(scenario())
