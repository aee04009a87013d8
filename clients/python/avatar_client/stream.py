"""What the three calls that carry media have in common: their start, their events, their clock, their end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import grpc
from google.protobuf.message import Message

from avatar.v1 import AudioChunk
from avatar.v1 import Frame as FrameMessage
from avatar_client import from_proto
from avatar_client.clock import now
from avatar_client.errors import ServiceFault, StreamEnded, TimedOut, from_rpc_error
from avatar_client.events import (
    AnimateStarted,
    Audio,
    Event,
    Interrupted,
    ReplyFinished,
    SegmentFinished,
    SessionStarted,
    SpeakStarted,
)
from avatar_client.facts import MediaFormat
from avatar_client.play_out import PlayOutClock
from avatar_client.wire_audio import AudioDecoder, BadAudio

START_TIMEOUT_S = 20.0
NOT_OPEN = "the stream is not open: use it within its `with` block"

StartedT = TypeVar("StartedT", bound=SessionStarted | SpeakStarted | AnimateStarted)
EventT = TypeVar("EventT", bound=Event)


class Call(Protocol):
    """What is used of gRPC's calls, whatever goes in."""

    def __aiter__(self) -> AsyncIterator[Any]:
        """Responses."""
        ...

    def cancel(self) -> bool:
        """End it."""
        ...

    def done(self) -> bool:
        """Whether it has ended."""
        ...


class MediaStream(Generic[StartedT, EventT]):
    """A stream of events, used as an async context manager and iterated over by one task.

    Media of interrupted turns are left out. Cancelling the task that iterates ends the stream, as gRPC does.
    """

    def __init__(self, open_call: Callable[[], Call], address: str, started: type[StartedT]) -> None:
        """Prepare a stream to `address`; `open_call` makes the call, whose first response is to be `started`."""
        self._open_call = open_call
        self._address = address
        self._started_type = started
        self._started: StartedT | None = None
        self._call: Call | None = None
        self._end: Exception | None = None
        self._decoder = AudioDecoder("LINEAR16", 24_000)
        self._tasks = asyncio.TaskGroup()
        self.clock = PlayOutClock(24_000)
        self.on_response: Callable[[Message], None] | None = None
        """Called with each response after the first as it arrives, media of interrupted turns included: to measure."""

    @property
    def started(self) -> StartedT:
        """The first response: what is in force."""
        if self._started is None:
            raise RuntimeError(NOT_OPEN)
        return self._started

    @property
    def media(self) -> MediaFormat:
        """How the media are encoded."""
        return self.started.media

    async def __aenter__(self) -> Self:
        """Make the call and wait for its first response, for at most 20 s."""
        if self._call is not None:
            raise RuntimeError("the stream was opened before: ask the client for another one")
        self._call = self._open_call()
        try:
            await self._begin()
            self._started = await self._first(self._call)
        except BaseException:
            self._call.cancel()
            raise
        self._decoder = AudioDecoder(self.media.audio_encoding, self.media.sample_rate_hz)
        self.clock = PlayOutClock(self.media.sample_rate_hz)
        await self._tasks.__aenter__()
        self._start_tasks(self._tasks)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the stream, at once if it has not ended by itself."""
        if self._call:
            self._call.cancel()
        self._stop_tasks()
        # Without the caller's exception: the group would wrap it in another, and callers catch it by its type.
        await self._tasks.__aexit__(None, None, None)

    async def __aiter__(self) -> AsyncIterator[EventT]:
        """Events until the stream ends well; raises ServiceError if it fails, StreamEnded if this side closes it."""
        if self._call is None:
            raise RuntimeError(NOT_OPEN)
        if self._end:
            raise self._end
        while True:
            moved: EventT | None = None
            try:
                async for response in self._call:
                    event = self._event(response)
                    if event is not None:
                        yield event
                    if moved := await self._moved():
                        break
                else:
                    return
            except grpc.aio.AioRpcError as error:
                failure = self._failure() or from_rpc_error(error, self._address, connected=True)
                yield self._lost(failure)
                moved = await self._mended(failure)
            except asyncio.CancelledError:
                if end := self._closed_here():
                    raise end from None
                raise
            yield moved

    async def _moved(self) -> EventT | None:
        """After each response: the event that tells of another stream to go on with, None to go on with this one."""
        return None

    def _lost(self, failure: Exception) -> EventT:
        """After the stream broke: the event that tells of that. Raises `failure` if that is the end."""
        self._end = failure
        raise failure

    async def _mended(self, failure: Exception) -> EventT:
        """After that: the event that tells of another stream to go on with. Raises what ends the iteration."""
        raise failure

    def _closed_here(self) -> Exception | None:
        """After reading was cancelled: what to raise if the stream was closed, None if its reader was cancelled."""
        failure = self._failure()
        self._end = failure or StreamEnded("the stream was closed on this side")
        task = asyncio.current_task()
        return self._end if failure or (task and not task.cancelling()) else None

    async def _begin(self) -> None:
        """Send what goes before the first response."""

    def _start_tasks(self, tasks: asyncio.TaskGroup) -> None:
        """Start what runs beside the iteration."""

    def _stop_tasks(self) -> None:
        """Cancel it."""

    def _failure(self) -> Exception | None:
        """Why this side itself ended the call; None if it did not."""
        return None

    async def _first(self, call: Call, within_s: float = START_TIMEOUT_S) -> StartedT:
        """The first response of `call`; raises ServiceError."""
        try:
            async with asyncio.timeout(within_s):
                response = await anext(aiter(call))
        except TimeoutError as error:
            message = f"{self._address} did not start the stream within {within_s:.0f} s"
            raise TimedOut(grpc.StatusCode.DEADLINE_EXCEEDED, message) from error
        except StopAsyncIteration as error:
            message = f"{self._address} ended the stream before it began"
            raise ServiceFault(grpc.StatusCode.INTERNAL, message) from error
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self._address) from error
        event = from_proto.event(_payload(response))
        if not isinstance(event, self._started_type):
            message = f"{self._address} sent {response.WhichOneof('payload')} first, not what starts the stream"
            raise ServiceFault(grpc.StatusCode.INTERNAL, message)
        return event

    def _event(self, response: Message) -> EventT | None:
        """The event of a response, the clock told of it; None for media of an interrupted turn and the unknown."""
        event: Any
        if self.on_response:
            self.on_response(response)
        match _payload(response):
            case AudioChunk() as chunk:
                event = None if self.clock.is_interrupted(chunk.turn_id) else self._audio(chunk)
            case FrameMessage() as frame:
                event = None if self.clock.is_interrupted(frame.turn_id) else from_proto.frame(frame)
            case payload:
                event = from_proto.event(payload)
        self._note(event)
        converted: EventT | None = event
        return converted

    def _audio(self, chunk: AudioChunk) -> Audio:
        try:
            pcm = self._decoder.decode(chunk.data)
        except BadAudio as error:
            message = f"chunk {chunk.index} of turn {chunk.turn_id} cannot be decoded: {error}"
            raise ServiceFault(grpc.StatusCode.INTERNAL, message) from error
        return from_proto.audio(chunk, pcm)

    def _note(self, event: Event | None) -> None:
        """Tell the clock what has come."""
        at = now()
        match event:
            case Audio():
                self.clock.add_audio(event, at)
            case ReplyFinished(turn_id=turn_id) | SegmentFinished(segment_id=turn_id):
                self.clock.finish(turn_id, at)
            case Interrupted(turn_id=turn_id):
                self.clock.interrupt(turn_id, at)


def _payload(response: Message) -> Message:
    """What a response carries; the response itself, which stands for nothing, if that is unknown."""
    name = response.WhichOneof("payload")
    payload: Message = getattr(response, name) if name else response
    return payload
