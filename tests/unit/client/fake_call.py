"""A `Converse` call without a network, for what is measured in virtual time: responses come when the test says so."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from avatar.v1 import ConverseRequest, ConverseResponse, PlaybackReport, SessionStarted
from avatar_client.clock import now


class FakeCall:
    """Stands for gRPC's call. What it is sent is kept with the time."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, ConverseRequest]] = []
        self._responses: asyncio.Queue[ConverseResponse | None] = asyncio.Queue()
        self._cython_call = self  # beneath which the client sends
        self._done = False
        self.say([ConverseResponse(session_started=SessionStarted(session_id="s-1"))])

    def say(self, responses: Iterable[ConverseResponse]) -> None:
        """Respond."""
        for response in responses:
            self._responses.put_nowait(response)

    def end(self) -> None:
        """End well once all has been read."""
        self._responses.put_nowait(None)

    def reports(self) -> list[tuple[float, PlaybackReport]]:
        """The reports of play-out that were sent, and when."""
        return [(at, request.playback_report) for at, request in self.sent if request.HasField("playback_report")]

    async def wait_for_connection(self) -> None:
        """Be connected."""

    async def send_serialized_message(self, message: bytes) -> None:
        """Take a request."""
        self.sent.append((now(), ConverseRequest.FromString(message)))

    async def done_writing(self) -> None:
        """Take the half-close."""

    def done(self) -> bool:
        """Whether it has ended."""
        return self._done

    def cancel(self) -> bool:
        """End at once."""
        self._done = True
        self.end()
        return True

    async def __aiter__(self) -> AsyncIterator[ConverseResponse]:
        while response := await self._responses.get():
            yield response
        self._done = True
