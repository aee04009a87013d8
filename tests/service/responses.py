"""The responses of one call, as a test reads them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from avatar.v1 import AnimateResponse, ConverseResponse, SpeakResponse, Status

R = TypeVar("R", ConverseResponse, AnimateResponse, SpeakResponse)

DEADLINE_S = 15.0
"""Longest that a test waits for a response."""
DETAILS = "grpc-status-details-bin"


class Responses(Generic[R]):
    """Keeps everything that came, with the moment of its arrival."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.responses: list[R] = []
        self.times_s: list[float] = []

    async def write(self, request: Message) -> None:
        """Send one request. A stream that has ended meanwhile takes none; reading on tells why it did."""
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self.call.write(request)

    async def next(self) -> R | None:
        """The next response, or None at the end of the stream."""
        async with asyncio.timeout(DEADLINE_S):
            response: R = await self.call.read()
        if response is grpc.aio.EOF:
            return None
        self.responses.append(response)
        self.times_s.append(asyncio.get_running_loop().time())
        return response

    async def until(self, kind: str, where: Callable[[Any], bool] = lambda payload: True) -> Any:
        """Read on to a response of this kind; returns its payload."""
        while response := await self.next():
            if response.WhichOneof("payload") == kind and where(getattr(response, kind)):
                return getattr(response, kind)
        raise AssertionError(f"the stream ended before {kind}: {await self.call.code()} {await self.call.details()}")

    async def finish(self) -> grpc.StatusCode:
        """Half-close, read to the end and return the status."""
        await self.call.done_writing()
        return await self.end()

    async def end(self) -> grpc.StatusCode:
        """Read to the end and return the status."""
        try:
            while await self.next():
                pass
        except grpc.aio.AioRpcError:
            pass  # the status below says so too
        code = await self.call.code()
        assert isinstance(code, grpc.StatusCode)
        return code

    async def status(self) -> Status:
        """What the trailing metadata say of a failed call."""
        for key, value in await self.call.trailing_metadata() or ():
            if key == DETAILS:
                assert isinstance(value, bytes)
                return Status.FromString(value)
        raise AssertionError(f"no {DETAILS} in the trailing metadata")

    def all(self, kind: str) -> list[Any]:
        """The payloads of a kind that have come."""
        return [getattr(r, kind) for r in self.responses if r.WhichOneof("payload") == kind]

    def only(self, kind: str) -> Any:
        """The one payload of a kind."""
        (payload,) = self.all(kind)
        return payload

    @property
    def kinds(self) -> list[str]:
        """The kinds of all responses, in order."""
        return [response.WhichOneof("payload") or "" for response in self.responses]

    @property
    def media_ms(self) -> int:
        """Milliseconds of voice that have come."""
        return int(sum(audio.sample_count for audio in self.all("audio")) / 24)
