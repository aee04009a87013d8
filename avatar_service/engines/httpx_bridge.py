"""httpx for an SDK that knows no other, with the connections of httpx2 beneath it.

httpcore 1.0.9, on which httpx stands, loses a connection when its request is cancelled between the connection's making
and the request's first byte, and when the task that closes an answer is cancelled once more: it stays open and keeps
its place in the pool, until none is left. Cancelling is how a barge-in ends a voice. httpcore2 loses none.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx
import httpx2


class BridgedTransport(httpx.AsyncBaseTransport):
    """Sends what httpx asks for by a client of httpx2, which it owns; proxies of the environment are kept to."""

    def __init__(self, limits: httpx2.Limits) -> None:
        self._client = httpx2.AsyncClient(limits=limits, follow_redirects=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its time limits come with it. Raises httpx.TransportError."""
        assert isinstance(request.stream, httpx.AsyncByteStream), "the request of an async client"
        bridged = httpx2.Request(
            request.method,
            str(request.url),
            headers=request.headers.raw,
            stream=_Sent(request.stream),
            extensions=dict(request.extensions),
        )
        with _as_httpx(request):
            response = await self._client.send(bridged, stream=True)
        body, extensions = _Received(response, request), dict(response.extensions)
        return httpx.Response(response.status_code, headers=response.headers.raw, stream=body, extensions=extensions)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class _Sent(httpx2.AsyncByteStream):
    """The body of a request."""

    def __init__(self, body: httpx.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            yield piece


class _Received(httpx.AsyncByteStream):
    """The body of an answer, as it came: httpx decompresses it."""

    def __init__(self, response: httpx2.Response, request: httpx.Request) -> None:
        self._response = response
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx(self._request):
            async for piece in self._response.aiter_raw():
                yield piece

    async def aclose(self) -> None:
        await self._response.aclose()


@contextmanager
def _as_httpx(request: httpx.Request) -> Iterator[None]:
    """Errors of httpx2 as those of httpx, which have the same names."""
    try:
        yield
    except httpx2.TransportError as error:
        kind: type[httpx.TransportError] = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error), request=request) from error
