"""What a session says to its client: the only caller of `context.write`."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc

from avatar.v1 import AnimateResponse, ConverseResponse, SpeakResponse
from avatar_service import clock, metrics
from avatar_service.background import running
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
    """Write every event until the channel closes. Raises ClientGone or ReaderTooSlow, the latter in a group."""
    sent, patience, now = _SentMedia(), _Patience(), clock.reader()
    try:
        async with running(patience.watch()):
            async for event in responses:
                built = builder.build(event)
                patience.writing_since_s = now()
                for response in built:
                    await _write(response, context)
                patience.writing_since_s = None
                if isinstance(event, Media):
                    sent.add(event.packet, built)
                elif isinstance(event, TurnCompleted):
                    sent.count()
    finally:
        sent.count()


class _Patience:
    """One watch over all writes of a stream: a time limit of its own for each would cost as much as building it."""

    def __init__(self) -> None:
        self.writing_since_s: float | None = None
        """When the write began that goes on; None between writes."""

    async def watch(self) -> None:
        """Raise ReaderTooSlow once a write has taken too long."""
        while (left_s := self._left_s) > 0:
            await asyncio.sleep(left_s)
        raise _too_slow()

    @property
    def _left_s(self) -> float:
        if self.writing_since_s is None:
            return pacing.READER_STALL_S
        return self.writing_since_s + pacing.READER_STALL_S - clock.now()


class _SentMedia:
    """Bytes of media that were sent, added up for a turn: fifty messages a second are too many to count each."""

    def __init__(self) -> None:
        self._audio = self._frames = 0

    def add(self, packet: Packet, responses: Sequence[Response]) -> None:
        """A packet went out, as these responses."""
        if isinstance(packet, SpeechChunk):
            for response in responses:
                self._audio += len(response.audio.data)
        else:
            self._frames += len(packet.image)

    def count(self) -> None:
        """Put what came together into the metrics."""
        metrics.SENT_BYTES.labels("audio").inc(self._audio)
        metrics.SENT_BYTES.labels("frame").inc(self._frames)
        self._audio = self._frames = 0


async def write_one(response: Response, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Write one response in time; what gRPC raises for a lost client, private errors included, becomes ClientGone.

    Raises ReaderTooSlow too.
    """
    try:
        async with asyncio.timeout(pacing.READER_STALL_S):
            await _write(response, context)
    except TimeoutError as error:
        raise _too_slow() from error


async def _write(response: Response, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    try:
        await context.write(response)
    except grpc.aio.BaseError as error:
        raise ClientGone from error


def _too_slow() -> ReaderTooSlow:
    return ReaderTooSlow(f"nothing was read for {pacing.READER_STALL_S:g} s")
