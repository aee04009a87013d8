"""What a server that speaks OpenAI's protocol answers, before anything is believed of it.

The SDK builds its objects of whatever JSON it is sent, without checking it: shapes are checked here, and sizes bounded.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from typing import TypeVar

import httpx2
from pydantic import BaseModel, ConfigDict

from avatar_service.engines.attempt import Attempt
from avatar_service.engines.vendor import Vendor
from avatar_service.errors import EngineUnavailable, Fault

ANSWER_BYTES = 8 * 1024 * 1024
"""Largest answer that is read: the longest reply, of 4,096 tokens, takes 1.5 MB as chunks of 350 bytes."""


class Piece(BaseModel):
    """A part of an answer, of which only the declared fields are looked at; each may be missing or null."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


P = TypeVar("P", bound=Piece)


class CalledFunction(Piece):
    """The function of a call: its name comes once, its arguments in pieces."""

    name: str | None = None
    arguments: str | None = None


class CallPiece(Piece):
    """A piece of a tool call; `index` says of which."""

    index: int | None = None
    id: str | None = None
    function: CalledFunction | None = None


class Delta(Piece):
    """What a chunk adds to the reply; `refusal` is the text of a model that declines to answer."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[CallPiece] | None = None


class Choice(Piece):
    """The one reply that was asked for."""

    delta: Delta | None = None
    finish_reason: str | None = None


class Usage(Piece):
    """What a reply cost."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Chunk(Piece):
    """One event of a streamed reply; the one with the usage has no choices."""

    choices: list[Choice] | None = None
    usage: Usage | None = None


class TranscriptEvent(Piece):
    """One event of a streamed transcript: a `delta`, or at its end the whole `text`."""

    type: str | None = None
    delta: str | None = None
    text: str | None = None


class Transcription(BaseModel):
    """A transcript that comes as a whole."""

    text: str


def malformed(stage: str, vendor: Vendor, why: str) -> EngineUnavailable:
    """The error for an answer that cannot be used; `why` holds nothing of it."""
    return EngineUnavailable(stage, vendor.engine, why, Fault.MALFORMED)


def attend(response: httpx2.Response, attempt: Attempt, too_large: EngineUnavailable) -> None:
    """Note the vendor's name of the request, and have `too_large` raised where more comes than can be an answer."""
    attempt.identified(response.headers.get("x-request-id"))
    assert isinstance(response.stream, httpx2.AsyncByteStream), "the answer of an async client"
    response.stream = _Bounded(response.stream, too_large)


def is_event_stream(response: httpx2.Response) -> bool:
    """Whether the answer says that it comes as server-sent events."""
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == "text/event-stream"


async def pieces_of(stream: AsyncIterable[object], kind: type[P]) -> AsyncGenerator[P, None]:
    """The events of a stream as `kind`. Raises ValueError for one that is something else."""
    async for event in stream:
        yield kind.model_validate(event)


class StreamedText:
    """Joins text that comes in pieces so that each is whole characters: servers cut emoji in two."""

    def __init__(self) -> None:
        self._half = ""

    def push(self, piece: str) -> str:
        """What can be passed on of the text so far."""
        text = self._half + piece
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return mended(text.removesuffix(self._half) if self._half else text)


def mended(text: str) -> str:
    """Text without halves of characters, which JSON can hold and protobuf cannot: each becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Bounded(httpx2.AsyncByteStream):
    """A body that raises `too_large` once it is."""

    def __init__(self, body: httpx2.AsyncByteStream, too_large: EngineUnavailable) -> None:
        self._body = body
        self._too_large = too_large

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for part in self._body:
            read += len(part)
            if read > ANSWER_BYTES:
                raise self._too_large
            yield part

    async def aclose(self) -> None:
        """Close the connection, or give it back."""
        await self._body.aclose()
