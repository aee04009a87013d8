"""What all vendor routes share: key check, error answers, request records, streamed answers."""

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from avatar_service.sandbox.errors import VendorError
from avatar_service.sandbox.record import RequestLog, RequestRecord, sdk_version
from avatar_service.sandbox.worker import WorkerBusy, WorkerClosed, WorkerError

log = logging.getLogger(__name__)

RECORD: Final = web.RequestKey("record", RequestRecord)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Load:
    """How many requests of one vendor are in progress, and how many may be."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.current = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Count one request while it lasts."""
        self.current += 1
        try:
            yield
        finally:
            self.current -= 1


@dataclass(frozen=True, slots=True)
class Vendor:
    """How one vendor checks keys, words errors and marks its answers."""

    name: str
    check_key: Callable[[Mapping[str, str]], None]
    error: Callable[[int, str | None, str], VendorError]
    """Makes an error answer of status, code and message."""
    headers: Callable[[RequestRecord], Mapping[str, str]]
    """Headers of every answer, made when its first byte leaves."""
    checks_key_itself: frozenset[str] = frozenset()
    """Patterns of routes whose key may come later than the headers."""
    load: Load = field(default_factory=lambda: Load(128))
    busy_code: str = "rate_limit_exceeded"
    """What an answer to one request too many is called."""


VENDOR: Final = web.RequestKey("vendor", Vendor)

STALL_S: Final = 60.0
"""How long a caller may leave what was sent to it unread."""


async def read_body(request: web.Request, deadline_s: float) -> bytes:
    """Return the body; raises ``web.HTTPRequestTimeout`` if it does not arrive in time."""
    try:
        async with asyncio.timeout(deadline_s):
            return await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout from error


class StreamedAnswer:
    """An answer that is sent in pieces. Headers leave with the first piece, so before it an error can still be told."""

    def __init__(self, request: web.Request, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        self._request = request
        self._response = web.StreamResponse(headers={"Content-Type": content_type, **(headers or {})})

    async def write(self, data: bytes) -> None:
        """Send a piece; waits while the socket's buffer is full.

        Raises ``ConnectionError`` if the caller is gone or has left the buffer full for ``STALL_S``.
        """
        await self.begin()
        try:
            async with asyncio.timeout(STALL_S):
                await self._response.write(data)
        except TimeoutError as error:
            raise ConnectionError("the caller stopped reading") from error
        self._request[RECORD].sent(len(data))

    async def end(self) -> web.StreamResponse:
        """End the answer, which may be empty."""
        return await self.finish()

    async def finish(self) -> web.StreamResponse:
        """Send what ends an answer, and the headers if nothing has left yet."""
        await self.begin()
        await self._response.write_eof()
        return self._response

    async def begin(self) -> None:
        """Send the headers, unless they have left."""
        if not self._response.prepared:
            record = self._request[RECORD]
            record.status = self._response.status
            self._response.headers.update(self._request[VENDOR].headers(record))
            await self._response.prepare(self._request)


def vendor_middleware(vendor: Vendor, requests: RequestLog) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Return the aiohttp middleware that serves the routes of one vendor."""

    @web.middleware
    async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
        record = requests.open(
            vendor.name,
            request.method,
            route_of(request),
            sdk_version(request.headers),
            requests.connection_of(request.transport),
        )
        request[RECORD] = record
        request[VENDOR] = vendor
        try:
            with vendor.load.taken():
                response = await _answer(request, handler, vendor)
        except asyncio.CancelledError:
            if record.outcome == "running":
                record.outcome = "cancelled"
            raise
        except ConnectionError:
            if record.outcome == "running":
                record.outcome = "cancelled"
            return _cut(request)
        except Exception as error:
            record.outcome = "failed"
            log.error("%s %s broke off: %s", record.method, record.route, _where(error))
            return _cut(request)
        else:
            if record.outcome == "running":
                record.outcome = "completed" if response.status < 400 else "failed"
            return response
        finally:
            record.request_bytes = request.content.total_bytes
            log.info(
                "%s %s %d %s %.0f ms, %d bytes",
                record.method,
                record.route,
                record.status,
                record.outcome,
                (time.monotonic() - record.started_s) * 1000,
                record.response_bytes,
            )

    return serve


def _cut(request: web.Request) -> web.Response:
    """Cut the connection, which is all that can tell the caller after a part of the body. The result never leaves."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _answer(request: web.Request, handler: Handler, vendor: Vendor) -> web.StreamResponse:
    """Call the handler; errors before the first byte become the vendor's error answer."""
    record = request[RECORD]
    try:
        if route_of(request) not in vendor.checks_key_itself:
            vendor.check_key(request.headers)
        if vendor.load.current > vendor.load.limit:
            raise vendor.error(429, vendor.busy_code, f"More than {vendor.load.limit} requests are in progress.")
        response = await handler(request)
    except Exception as error:
        if record.first_byte_s is not None or isinstance(error, ConnectionError):
            raise
        vendor_error = _vendor_error(error, request, vendor)
        response = web.json_response(vendor_error.body, status=vendor_error.status)
    record.status = response.status
    if not response.prepared:
        response.headers.update(vendor.headers(record))
        body = response.body if isinstance(response, web.Response) else None
        await response.prepare(request)
        await response.write_eof()
        record.sent(len(body) if isinstance(body, bytes) else 0)
    return response


def _vendor_error(error: Exception, request: web.Request, vendor: Vendor) -> VendorError:
    """Word any error as the vendor does."""
    match error:
        case VendorError():
            return error
        case web.HTTPRequestEntityTooLarge():
            return vendor.error(413, None, "The request body is too large.")
        case web.HTTPNotFound() | web.HTTPMethodNotAllowed():
            return vendor.error(error.status, None, f"Invalid URL ({request.method} {request.path[:80]})")
        case web.HTTPException():
            return vendor.error(error.status, None, error.text or error.reason)
        case WorkerBusy():
            return vendor.error(429, "system_busy", "Too many requests wait for this model. Please try again later.")
        case WorkerClosed():
            return vendor.error(503, "unavailable", "The sandbox is stopping, or its model could not be loaded.")
        case WorkerError():
            return vendor.error(500, "timeout", "The model took too long.")
        case _:
            log.error("%s %s failed: %s", request.method, route_of(request), _where(error))
            return vendor.error(500, "internal_error", "The sandbox failed to answer this request.")


def _where(error: Exception) -> str:
    """Return the error's type and where it was raised, without its message, which may hold what a user said."""
    return f"{type(error).__name__}\n" + "".join(traceback.format_tb(error.__traceback__))


def route_of(request: web.Request) -> str:
    """Return the route's pattern, which holds no ids; for unknown routes a fixed word."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"
