"""What a session says to its client: the only caller of `context.write`."""

import asyncio

import grpc

from avatar.v1 import ConverseRequest, ConverseResponse
from avatar_service.channel import Channel
from avatar_service.events import Event
from avatar_service.rpc.status import ClientGone, ReaderTooSlow
from avatar_service.rpc.to_proto import ResponseBuilder

STALL_S = 10.0
"""How long a client may leave everything unread before its stream ends."""

Context = grpc.aio.ServicerContext[ConverseRequest, ConverseResponse]


async def write(responses: Channel[Event], builder: ResponseBuilder, context: Context) -> None:
    """Write every event until the channel closes. Raises ClientGone or ReaderTooSlow."""
    async for event in responses:
        await write_one(builder.build(event), context)


async def write_one(response: ConverseResponse, context: Context) -> None:
    """Write one response; what gRPC raises for a lost client, private errors included, becomes ClientGone."""
    try:
        async with asyncio.timeout(STALL_S):
            await context.write(response)
    except TimeoutError as error:
        raise ReaderTooSlow(f"nothing was read for {STALL_S:g} s") from error
    except grpc.aio.BaseError as error:
        raise ClientGone from error
