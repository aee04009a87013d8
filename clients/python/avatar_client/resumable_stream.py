"""A `Converse` stream that survives its connection: what it keeps, when it goes on over another one, and how."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from avatar.v1 import ConverseConfig, ConverseRequest, PlaybackReport, Resume
from avatar_client import from_proto
from avatar_client.clock import now
from avatar_client.errors import ServiceError, ServiceFault, StreamEnded, Unavailable, from_rpc_error
from avatar_client.events import (
    ConnectionLost,
    ConverseEvent,
    Event,
    GoAway,
    Resumed,
    SessionStarted,
    SpeechStarted,
    Transcript,
    TurnCompleted,
    TurnStarted,
)
from avatar_client.mending import Trouble, is_mendable, wait
from avatar_client.outbox import Outbox
from avatar_client.sending import RequestSender
from avatar_client.stream import NOT_OPEN, Call
from avatar_client.two_way_stream import TwoWayStream
from avatar_client.wire_audio import AudioDecoder

START_AGAIN_S: Final = 10.0
"""How long the first response of a resumed stream may take."""
SEND_PATIENCE_S: Final = 0.2
"""How long a request waits for a connection that takes nothing, before it is left to go out later."""
MOST_WAITING_S: Final = 30.0
"""User audio that may wait to go out; who sends more, faster than it goes, is held up."""
RESEND_INTERVAL_S: Final = 0.01
"""Between two messages that are sent again: half of the 200 a second that a service takes."""
MOVE_AGAIN_S: Final = 5.0
"""Between two attempts to leave a stream that the service will end."""
STATUS_WAIT_S: Final = 1.0
"""For the status of a call that takes no more; it is there at once."""
HURRY_S: Final = 5.0
"""So long before its end a stream is left even if a turn is under way; half of its time if that is less."""
SPREAD: Final = 1.5
"""Up to so many times as long before: a server that stops tells all of its clients in one moment, and the next one
should not get them all in one."""


@dataclass(slots=True)
class _Leaving:
    """A stream that the service will end: to be left once it is quiet or at `hurries_at`, not before `not_before`."""

    hurries_at: float
    not_before: float = 0.0


class ResumableStream(TwoWayStream[SessionStarted, ConverseEvent]):
    """A stream of requests and events that goes on over another call where one breaks or is to be left.

    Only who iterates notices a break; until then, and until it is mended, what is sent waits.
    """

    def __init__(
        self, open_call: Callable[[], Call], address: str, config: ConverseConfig, resume_within_s: float
    ) -> None:
        """Prepare a stream to `address`; a break is given up after `resume_within_s`, 0: at once."""
        super().__init__(open_call, address, SessionStarted, ConverseRequest, config)
        self._trouble = Trouble(resume_within_s)
        self._token = ""
        self._outbox = Outbox("LINEAR16", 16_000)
        self._is_down = False  # nothing can be sent until the stream is resumed and has caught up
        self._leaving: _Leaving | None = None
        self._closed = asyncio.Event()
        self._attempt: Call | None = None
        self._flushing: asyncio.Task[StreamEnded | None] | None = None
        self._turns: set[int] = set()  # begun, not completed
        self._completed = 0  # the last turn that was
        self._utterances: set[int] = set()  # begun, without final transcript

    def _start_tasks(self, tasks: asyncio.TaskGroup) -> None:
        input_audio = self.started.config.input_audio
        encoding = from_proto.audio_encoding(input_audio.encoding)
        rate_hz = input_audio.sample_rate_hertz or 16_000
        self._outbox = Outbox(encoding, rate_hz, self.started.audio_received_offset_s)
        self._token = self.started.resume_token
        super()._start_tasks(tasks)

    def _stop_tasks(self) -> None:
        self._closed.set()
        if self._attempt:
            self._attempt.cancel()
        if self._flushing:
            self._flushing.cancel()
        super()._stop_tasks()

    def _is_over(self) -> bool:
        return self._end is not None

    async def _ask(self, **payload: Message) -> None:
        """Send a request, or have it wait while the stream is broken."""
        if self._sender is None:
            raise RuntimeError(NOT_OPEN)
        if self._input_ended:
            raise StreamEnded("nothing can be sent after end_input()")
        if self._end or self._closed.is_set():
            raise StreamEnded(f"the stream to {self._address} has ended")
        request: Any = self._request(**payload)
        self._outbox.add(request)
        while not self._is_down and self._outbox.waits:
            patience_s = 0.0
            flushing = self._flushing
            if flushing is None or flushing.done():
                flushing = self._flushing = self._tasks.create_task(self._flush(), name="sending")
                patience_s = SEND_PATIENCE_S
            is_full = self._outbox.waiting_s >= MOST_WAITING_S
            await asyncio.wait({flushing}, timeout=None if is_full else patience_s)
            if not flushing.done():
                return  # a connection that hangs must not hold up a microphone
            if failure := _outcome(flushing):
                raise failure

    async def _flush(self) -> StreamEnded | None:
        """Send what waits; returns why that is impossible."""
        try:
            async with self._sending:
                await self._send_waiting()
        except StreamEnded as error:
            return error
        return None

    async def _send_waiting(self) -> None:
        """Send what waits, all but what comes after a break."""
        while not self._is_down and (request := self._outbox.take()):
            call, sender = self._call, self._sender
            assert sender is not None
            try:
                await sender.send(request)
            except StreamEnded:
                if not await self._will_be_mended(call):
                    raise
                self._is_down = self._is_down or self._sender is sender

    async def _will_be_mended(self, call: Any) -> bool:
        """Whether `call` ended in a way that the task that iterates will mend."""
        try:
            async with asyncio.timeout(STATUS_WAIT_S):
                code, trailer, details = await call.code(), await call.trailing_metadata(), await call.details()
        except TimeoutError:
            return False
        if code is grpc.StatusCode.OK:
            return False
        error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailer, details)
        return self._can_mend(from_rpc_error(error, self._address, connected=True))

    def _can_mend(self, failure: Exception) -> bool:
        return bool(self._token) and self._trouble.is_allowed and is_mendable(failure, had_begun=True)

    async def end_input(self) -> None:
        """Half-close: nothing more will be sent, play-out reports included. What is under way finishes."""
        await self._before_end()
        async with self._sending:
            if not self._input_ended and self._sender:
                self._input_ended = True
                await self._send_waiting()
                if not self._is_down:  # otherwise once what waits has been sent
                    await self._sender.end()

    def _event(self, response: Message) -> ConverseEvent | None:
        event = super()._event(response)
        if isinstance(event, TurnCompleted):
            if event.turn_id <= self._completed:
                return None  # a stream that is resumed tells the end of the last turn again
            self._completed = event.turn_id
        return event

    def _note(self, event: Event | None) -> None:
        super()._note(event)
        match event:
            case TurnStarted(turn_id=turn_id):
                self._turns.add(turn_id)
            case TurnCompleted(turn_id=turn_id):
                self._turns.discard(turn_id)
            case SpeechStarted(utterance_id=utterance_id):
                self._utterances.add(utterance_id)
            case Transcript(final=True, utterance_id=utterance_id):
                self._utterances.discard(utterance_id)
            case GoAway():
                self._token = event.resume_token or self._token
                hurry_s = min(HURRY_S, event.time_left_s / 2) * random.uniform(1.0, SPREAD)
                self._leaving = _Leaving(now() + event.time_left_s - hurry_s)
        if event:
            self._outbox.note(event)

    async def _moved(self) -> ConverseEvent | None:
        if not (self._leaving and self._is_time_to_leave(self._leaving)):
            return None
        async with self._sending:  # what is sent now would be answered on a stream that nobody reads any more
            return await self._leave(self._leaving) if self._is_time_to_leave(self._leaving) else None

    def _is_time_to_leave(self, leaving: _Leaving) -> bool:
        """Whether the stream can be left, and nothing is under way that is better finished first."""
        if self._input_ended or self._is_down or not self._token or not self._trouble.is_allowed:
            return False
        waits = bool(self._turns or self._utterances) or not self._outbox.is_answered
        is_busy = waits or self.clock.is_playing(now())
        return now() >= leaving.not_before and (not is_busy or now() >= leaving.hurries_at)

    async def _leave(self, leaving: _Leaving) -> ConverseEvent | None:
        """Go on over another stream and end this one; None if that is not possible yet."""
        left = self._call
        try:
            resumed = await self._resume("", now())
        except ServiceError:
            leaving.not_before = now() + MOVE_AGAIN_S
            self.clock.thaw(now())
            return None
        if left:
            left.cancel()
        return resumed

    def _lost(self, failure: Exception) -> ConverseEvent:
        if not self._can_mend(failure):
            return super()._lost(failure)
        self._is_down = True
        return ConnectionLost(str(failure).removesuffix(": try again"))

    async def _mended(self, failure: Exception) -> ConverseEvent:
        try:
            return await self._mend(failure)
        except asyncio.CancelledError:
            if end := self._closed_here():
                raise end from None
            raise
        except Exception as error:
            self._end = error
            raise

    async def _mend(self, failure: Exception) -> ConverseEvent:
        """Try until the stream is resumed; raises what makes that impossible."""
        assert isinstance(failure, ServiceError)
        broke_at, error = now(), failure
        self._trouble.breaks()
        while True:
            await wait(self._closed, self._trouble.next_wait_s(error))
            if self._closed.is_set():
                raise StreamEnded("the stream was closed on this side")
            try:
                resumed = await self._resume(str(failure).removesuffix(": try again"), broke_at)
            except ServiceError as refused:
                if not is_mendable(refused):
                    raise
                error = refused
            else:
                self._trouble.mended()
                return resumed

    async def _resume(self, cause: str, broke_at: float) -> Resumed:
        """Go on over another call, once. Raises ServiceError."""
        call = self._attempt = self._open_call()
        try:
            sender = RequestSender(call, self._address)
            await self._connect(sender)
            playback = self.clock.freeze(now())
            started = await self._begin_again(call, sender, playback)
        except BaseException:
            call.cancel()
            raise
        finally:
            self._attempt = None
        self._go_on(call, sender, started)
        played_s = from_proto.seconds(playback.position) if playback else 0.0
        outage_s = now() - broke_at
        return Resumed(started, cause, playback.turn_id if playback else 0, played_s, outage_s)

    async def _connect(self, sender: RequestSender) -> None:
        try:
            async with asyncio.timeout(START_AGAIN_S):
                await sender.connect()
        except TimeoutError as error:
            message = f"{self._address} took no connection within {START_AGAIN_S:.0f} s"
            raise Unavailable(grpc.StatusCode.UNAVAILABLE, message) from error

    async def _begin_again(self, call: Call, sender: RequestSender, playback: PlaybackReport | None) -> SessionStarted:
        """Ask `call` for the session, and return its first response."""
        resume = Resume(resume_token=self._token, playback=playback)
        with suppress(StreamEnded):  # the first response, which is awaited next, tells why
            await sender.send(ConverseRequest(config=ConverseConfig(resume=resume)))
        started = await self._first(call, START_AGAIN_S)
        if not started.resumed:
            message = f"{self._address} began another session in the place of the one that was to be resumed"
            raise ServiceFault(grpc.StatusCode.DATA_LOSS, message)
        return started

    def _go_on(self, call: Call, sender: RequestSender, started: SessionStarted) -> None:
        """Take `call` for the stream from here on, and send again what the one before did not acknowledge."""
        self._call, self._sender, self._started = call, sender, started
        self._token = started.resume_token
        self._leaving, self._is_down = None, True
        self._turns.clear()
        self._utterances.clear()
        self._stop_tools()
        self._decoder = AudioDecoder(self.media.audio_encoding, self.media.sample_rate_hz)
        self.clock.cut(started.last_turn_id, now())
        self._outbox.rewind(started.audio_received_offset_s)
        self._running = [task for task in self._running if not task.done()]
        self._running.append(self._tasks.create_task(self._catch_up(sender), name="sending again"))

    def _stop_tools(self) -> None:
        """Stop the calls of tools that the stream before asked for."""

    async def _catch_up(self, sender: RequestSender) -> None:
        """Send what waits, in order, until nothing does; then what is sent goes out at once again."""
        while self._sender is sender and (request := self._outbox.take()):
            try:
                async with self._sending:
                    await sender.send(request)
            except StreamEnded:
                return  # broken again, as the task that iterates will notice
            await asyncio.sleep(RESEND_INTERVAL_S)
        if self._sender is sender:
            self._is_down = False
            if self._input_ended:
                await sender.end()


def _outcome(flushing: "asyncio.Task[StreamEnded | None]") -> StreamEnded | None:
    """What a flush that is over found out."""
    return StreamEnded("the stream was closed on this side") if flushing.cancelled() else flushing.result()
