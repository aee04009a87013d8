"""What a session says to its client: the only caller of `context.write`."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc

from avatar.v1 import AnimateResponse, ConverseResponse, SpeakResponse
from avatar_service import metrics
from avatar_service.channel import Channel
from avatar_service.errors import ReaderTooSlow
from avatar_service.events import Event, Media, TurnCompleted
from avatar_service.media.types import Packet, SpeechChunk
from avatar_service.rpc.status import ClientGone
from avatar_service.rpc.to_proto import ResponseBuilder
from avatar_service.turn import pacing

Response = ConverseResponse | SpeakResponse | AnimateResponse


async def write(
    responses: Channel[Event], builder: ResponseBuilder[Any], context: grpc.aio.ServicerContext[Any, Any]
) -> None:
    """Write every event until the channel closes. Raises ClientGone or ReaderTooSlow."""
    sent = _SentMedia()
    try:
        async for event in responses:
            built = builder.build(event)
            for response in built:
                await write_one(response, context)
            if isinstance(event, Media):
                sent.add(event.packet, built)
            elif isinstance(event, TurnCompleted):
                sent.count()
    finally:
        sent.count()


class _SentMedia:
    """Bytes of media that were sent, added up for a turn: fifty messages a second are too many to count each."""

    def __init__(self) -> None:
        self._audio = self._frames = 0

    def add(self, packet: Packet, responses: Sequence[Response]) -> None:
        """A packet went out, as these responses."""
        if isinstance(packet, SpeechChunk):
            self._audio += sum(len(response.audio.data) for response in responses)
        else:
            self._frames += len(packet.image)

    def count(self) -> None:
        """Put what came together into the metrics."""
        metrics.SENT_BYTES.labels("audio").inc(self._audio)
        metrics.SENT_BYTES.labels("frame").inc(self._frames)
        self._audio = self._frames = 0


async def write_one(response: Response, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Write one response; what gRPC raises for a lost client, private errors included, becomes ClientGone."""
    try:
        async with asyncio.timeout(pacing.READER_STALL_S):
            await context.write(response)
    except TimeoutError as error:
        raise ReaderTooSlow(f"nothing was read for {pacing.READER_STALL_S:g} s") from error
    except grpc.aio.BaseError as error:
        raise ClientGone from error
