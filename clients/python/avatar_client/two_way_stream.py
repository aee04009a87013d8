"""A stream that requests go into as well: sending, half-closing, and reports of play-out."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from google.protobuf.message import Message

from avatar.v1 import PlaybackReport
from avatar_client.clock import now
from avatar_client.errors import StreamEnded
from avatar_client.events import Event, Interrupted, ReplyFinished, SegmentFinished
from avatar_client.sending import RequestSender
from avatar_client.stream import NOT_OPEN, Call, EventT, MediaStream, StartedT

REPORT_INTERVAL_S = 0.2  # what the contract asks for


class TwoWayStream(MediaStream[StartedT, EventT]):
    """A stream that requests go into as well. Several tasks may send; cancelling one that does ends the stream.

    Play-out is reported to the server by itself, on a clock that starts with each turn's first audio and follows what a
    player tells it.
    """

    def __init__(
        self,
        open_call: Callable[[], Call],
        address: str,
        started: type[StartedT],
        request: Callable[..., Message],
        config: Message,
    ) -> None:
        """Prepare a stream that begins with `config`; `request` is the class of its requests."""
        super().__init__(open_call, address, started)
        self._request = request
        self._config = config
        self._sending = asyncio.Lock()  # gRPC takes one write at a time
        self._sender: RequestSender | None = None
        self._input_ended = False
        self._report_now = asyncio.Event()
        self._running: list[asyncio.Task[None]] = []

    async def end_input(self) -> None:
        """Half-close: nothing more will be sent, play-out reports included. What is under way finishes."""
        await self._before_end()
        async with self._sending:
            if not self._input_ended and self._sender:
                self._input_ended = True
                await self._sender.end()

    async def _before_end(self) -> None:
        """Send what waits to be sent."""

    async def _begin(self) -> None:
        assert self._call is not None
        self._sender = RequestSender(self._call, self._address)
        await self._sender.connect()
        with suppress(StreamEnded):  # the first response, which is awaited next, tells why
            await self._send(config=self._config)

    def _start_tasks(self, tasks: asyncio.TaskGroup) -> None:
        self._running.append(tasks.create_task(self._report_playback(), name="playback reports"))

    def _stop_tasks(self) -> None:
        for task in self._running:
            task.cancel()

    async def _send(self, **payload: Message) -> None:
        """Send one request with that payload."""
        request = self._request(**payload)
        async with self._sending:
            if self._sender is None:
                raise RuntimeError(NOT_OPEN)
            if self._input_ended:
                raise StreamEnded("nothing can be sent after end_input()")
            await self._sender.send(request)

    def _note(self, event: Event | None) -> None:
        super()._note(event)
        if isinstance(event, Interrupted | ReplyFinished | SegmentFinished):  # the last two tell when play-out will end
            self._report_now.set()

    def _is_over(self) -> bool:
        """Whether no report is wanted any more."""
        return self._call is None or self._call.done()

    async def _report_playback(self) -> None:
        """Report play-out every 200 ms while something plays and at once when a turn has ended, until the end."""
        while not self._is_over():
            with suppress(TimeoutError):
                async with asyncio.timeout(min(REPORT_INTERVAL_S, self.clock.ends_in_s(now()))):
                    await self._report_now.wait()
            self._report_now.clear()
            if self.clock.is_frozen:
                continue
            for report in self.clock.reports(now()):
                await self._report(report)

    async def _report(self, report: PlaybackReport) -> None:
        """Send a report; a stream that is over needs none, and iterating tells why it is."""
        with suppress(StreamEnded):
            await self._send(playback_report=report)
