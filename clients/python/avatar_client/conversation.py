"""One conversation: what can be sent on a `Converse` stream, and the responses as they come."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import grpc

from avatar.v1 import (
    ConfigUpdate,
    ConverseConfig,
    ConverseRequest,
    ConverseResponse,
    Interrupt,
    PlaybackReport,
    Say,
    SessionStarted,
    ToolResult,
    ToolResults,
    UserAudio,
    UserText,
    UtteranceEnded,
    UtteranceStarted,
)
from avatar_client.errors import ConversationEnded, ServiceFault, TimedOut, from_rpc_error
from avatar_client.play_out import PlayOutClock

REPORT_INTERVAL_S = 0.2  # what the contract asks for
START_TIMEOUT_S = 20.0

ConverseCall = grpc.aio.StreamStreamCall[ConverseRequest, ConverseResponse]


class Conversation:
    """An open `Converse` stream, used as an async context manager.

    Iterate over it to receive responses; media of interrupted turns are left out. Reports play-out to the server by
    itself, on a clock that starts with each turn's first audio. Several tasks may send; one may iterate. Cancelling a
    task that sends or iterates ends the stream, as gRPC does. Every method raises `ServiceError` when the service has
    ended the stream, and the sending ones `ConversationEnded` after its good end.
    """

    def __init__(self, call: ConverseCall, config: ConverseConfig, address: str) -> None:
        """Wrap a call that has just been made to `address`."""
        self._call = call
        self._config = config
        self._address = address
        self._sending = asyncio.Lock()  # gRPC takes one write at a time
        self._input_ended = False
        self._tasks = asyncio.TaskGroup()
        self._reports: asyncio.Task[None] | None = None
        self._report_now = asyncio.Event()
        self.started = SessionStarted()
        self.clock = PlayOutClock(sample_rate_hz=1)

    async def __aenter__(self) -> Self:
        """Send the configuration and wait for `session_started`, for at most 20 s."""
        try:
            self.started = await self._start()
        except BaseException:
            self._call.cancel()
            raise
        self.clock = PlayOutClock(self.started.config.output_audio.sample_rate_hertz or 24_000)
        await self._tasks.__aenter__()
        self._reports = self._tasks.create_task(self._report_playback(), name="playback reports")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the stream, at once if it has not ended by itself."""
        self._call.cancel()
        if self._reports:
            self._reports.cancel()
        # Without the caller's exception: the group would wrap it in another, and callers catch it by its type.
        await self._tasks.__aexit__(None, None, None)

    async def send_audio(self, data: bytes) -> None:
        """Send a piece of the user's audio, best 20 ms to 100 ms, encoded as the configuration's `input_audio` says."""
        await self._send(ConverseRequest(audio=UserAudio(data=data)))

    async def send_text(self, text: str, request_id: str = "") -> None:
        """Send what the user typed; it starts a turn and stops what is being spoken."""
        await self._send(ConverseRequest(text=UserText(text=text, request_id=request_id)))

    async def say(self, text: str, *, interrupt: bool = False, request_id: str = "") -> None:
        """Have the avatar say `text` as it stands, after what it is saying or, with `interrupt`, at once."""
        await self._send(ConverseRequest(say=Say(text=text, interrupt=interrupt, request_id=request_id)))

    async def utterance_started(self) -> None:
        """Tell that the user begins to speak; with manual turn taking alone."""
        await self._send(ConverseRequest(utterance_started=UtteranceStarted()))

    async def utterance_ended(self) -> None:
        """Tell that the user has finished speaking; with manual turn taking alone."""
        await self._send(ConverseRequest(utterance_ended=UtteranceEnded()))

    async def interrupt(self, turn_id: int = 0) -> None:
        """Stop what is being spoken, or only `turn_id`."""
        await self._send(ConverseRequest(interrupt=Interrupt(turn_id=turn_id)))

    async def update(self, update: ConfigUpdate) -> None:
        """Change the configuration from the next turn on."""
        await self._send(ConverseRequest(config_update=update))

    async def send_tool_results(self, *results: ToolResult) -> None:
        """Answer tool calls."""
        await self._send(ConverseRequest(tool_results=ToolResults(results=results)))

    async def end_input(self) -> None:
        """Half-close: nothing more will be sent, play-out reports included. Turns that are under way finish."""
        async with self._sending:
            if not self._input_ended:
                self._input_ended = True
                await self._call.done_writing()

    async def __aiter__(self) -> AsyncIterator[ConverseResponse]:
        """Responses until the stream ends well; raises `ServiceError` if it fails."""
        try:
            async for response in self._call:
                if not self._is_stale(response):
                    yield response
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self._address) from error

    async def _start(self) -> SessionStarted:
        await self._send(ConverseRequest(config=self._config))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                response = await anext(aiter(self._call))
        except TimeoutError as error:
            message = f"{self._address} did not start the session within {START_TIMEOUT_S:.0f} s"
            raise TimedOut(grpc.StatusCode.DEADLINE_EXCEEDED, message) from error
        except StopAsyncIteration as error:
            message = f"{self._address} ended the stream before it started the session"
            raise ServiceFault(grpc.StatusCode.INTERNAL, message) from error
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self._address) from error
        if not response.HasField("session_started"):
            message = f"{self._address} sent {response.WhichOneof('payload')} where session_started was due"
            raise ServiceFault(grpc.StatusCode.INTERNAL, message)
        return response.session_started

    async def _send(self, request: ConverseRequest) -> None:
        async with self._sending:
            if self._input_ended:
                raise ConversationEnded("nothing can be sent after end_input()")
            try:
                await self._call.write(request)
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error, self._address) from error
            except asyncio.InvalidStateError as error:  # the stream is over; iterating tells how
                raise ConversationEnded(f"{self._address} has ended the conversation") from error

    def _is_stale(self, response: ConverseResponse) -> bool:
        """Tell the clock what has come; True for media of an interrupted turn."""
        now = time.monotonic()
        match response.WhichOneof("payload"):
            case "audio":
                if self.clock.is_interrupted(response.audio.turn_id):
                    return True
                self.clock.add_audio(response.audio, now)
            case "frame":
                return self.clock.is_interrupted(response.frame.turn_id)
            case "reply_finished":
                self.clock.finish(response.reply_finished.turn_id, now)
            case "interrupted":
                self.clock.interrupt(response.interrupted.turn_id, now)
                self._report_now.set()
        return False

    async def _report_playback(self) -> None:
        """Report play-out every 200 ms while something plays and at once after an interruption, until the end."""
        while not self._call.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(REPORT_INTERVAL_S):
                    await self._report_now.wait()
            self._report_now.clear()
            for report in self.clock.reports(time.monotonic()):
                await self._report(report)

    async def _report(self, report: PlaybackReport) -> None:
        """Send a report; a stream that is over needs none, and iterating tells why it is."""
        async with self._sending:
            if self._input_ended or self._call.done():
                return
            try:
                await self._call.write(ConverseRequest(playback_report=report))
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                return
