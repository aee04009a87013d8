"""One `Animate` stream: a voice that the caller brings, segment by segment."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import TypeAlias

from avatar.v1 import AnimateConfig, AnimateRequest, Interrupt, SegmentAudio, SegmentEnded
from avatar_client.errors import AvatarClientError
from avatar_client.events import AnimateEvent, AnimateStarted
from avatar_client.stream import Call
from avatar_client.two_way_stream import TwoWayStream
from avatar_client.wire_audio import AudioEncoder

Pcm: TypeAlias = bytes | Iterable[bytes] | AsyncIterable[bytes]
"""16-bit little-endian mono samples, whole or in pieces of any size."""


class AsyncAnimation(TwoWayStream[AnimateStarted, AnimateEvent]):
    """An open `Animate` stream: send voice, or have it sent, and iterate over the events.

    Send a long voice beside the iteration, in a task or thread of its own, as the stream itself does with the `audio`
    of `animate()`: a service whose media nobody reads reads no further either. After the stream's good end the
    sending methods raise StreamEnded.
    """

    def __init__(
        self, open_call: Callable[[], Call], config: AnimateConfig, address: str, voice: Pcm | None = None
    ) -> None:
        """Prepare a stream to `address`; `voice` is sent as its only segment."""
        super().__init__(open_call, address, AnimateStarted, AnimateRequest, config)
        self._voice = voice
        self._feed_failure: Exception | None = None
        self._encoder: AudioEncoder | None = None

    async def send_audio(self, data: bytes) -> None:
        """Send a piece of the voice, at most 64,000 bytes, encoded as the configuration's `audio_format` says."""
        await self._send(audio=SegmentAudio(data=data))

    async def send_pcm(self, pcm: bytes) -> None:
        """Send 16-bit mono samples at the stream's rate, which are encoded first where it asks for that."""
        if self._encoder is None:
            self._encoder = AudioEncoder(self.media.audio_encoding, self.media.sample_rate_hz)
        for data in self._encoder.encode(pcm):
            await self.send_audio(data)

    async def end_segment(self) -> None:
        """The segment is complete: what is sent next begins another."""
        await self._send(segment_ended=SegmentEnded())

    async def interrupt(self, segment_id: int = 0) -> None:
        """Stop what is being played and drop what is queued, or only `segment_id`."""
        await self._send(interrupt=Interrupt(turn_id=segment_id))

    def _start_tasks(self, tasks: asyncio.TaskGroup) -> None:
        super()._start_tasks(tasks)
        if self._voice is not None:
            self._running.append(tasks.create_task(self._feed(self._voice), name="voice"))

    def _failure(self) -> Exception | None:
        return self._feed_failure

    async def _feed(self, voice: Pcm) -> None:
        """Send the whole voice and half-close; what the voice itself raises ends the stream and comes out of it."""
        try:
            async for pcm in _pieces(voice):
                await self.send_pcm(pcm)
            await self.end_segment()
            await self.end_input()
        except AvatarClientError as error:
            if self._call and not self._call.done():
                self._end_for(error)
        except Exception as error:  # the caller's iterable may raise anything
            self._end_for(error)

    def _end_for(self, error: Exception) -> None:
        assert self._call is not None
        self._feed_failure = error
        self._call.cancel()


async def _pieces(voice: Pcm) -> AsyncIterator[bytes]:
    """The pieces of `voice`; an ordinary iterable may block, so it is drawn from in a thread."""
    if isinstance(voice, bytes):
        yield voice
    elif isinstance(voice, AsyncIterable):
        async for piece in voice:
            yield piece
    else:
        pieces = iter(voice)

        def take() -> bytes | None:
            return next(pieces, None)

        while (drawn := await asyncio.to_thread(take)) is not None:
            yield drawn
