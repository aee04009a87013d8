"""The WebSockets to ElevenLabs that are open: a speaking turn has one of its own, and leaves it to the next turn.

What a connection is for stands in its address (voice, model, language, format), and all else in a context's first
message, so any turn may go on where another one has spoken. The one used last is taken first: a conversation that
speaks alone keeps its own, and what many at once have opened closes itself when it is not needed for `IDLE_S`.
"""

import asyncio
import ssl
from contextvars import Context
from types import TracebackType
from typing import Final, Self

from websockets.asyncio.client import connect

from avatar_service.engines.elevenlabs_connection import STAGE, SocketConnection
from avatar_service.engines.vendor import Vendor
from avatar_service.engines.vendor_errors import vendor_errors
from avatar_service.errors import EngineUnavailable, Fault

MOST_CONNECTIONS: Final = 1000
"""Most that are open at once, as many as over HTTP."""
IDLE_S: Final = 120.0
"""How long a connection that nobody uses is kept, as over HTTP."""
LARGEST_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""Largest message that is read; the vendor sends several seconds of voice in one."""
CLOSE_S: Final = 1.0
"""How long the vendor may take to agree to a close."""


class ConnectionPool:
    """Open connections by address. Use as `async with`; leaving closes them all."""

    def __init__(self, api_key: str, vendor: Vendor, connect_s: float, keep_alive_s: float) -> None:
        self._headers = {"xi-api-key": api_key}
        self._vendor = vendor
        self._connect_s = connect_s
        self._keep_alive_s = keep_alive_s
        self._tls: ssl.SSLContext | None = None
        self._tasks = asyncio.TaskGroup()
        self._open: set[SocketConnection] = set()
        self._free: dict[str, list[SocketConnection]] = {}

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._open:
            self._tasks.create_task(connection.close())
        await self._tasks.__aexit__(None, None, None)

    def free(self, address: str) -> SocketConnection | None:
        """A connection that was opened before, for the caller alone until it is left; None if there is none."""
        usable = [connection for connection in self._free.get(address, ()) if connection.usable]
        if not usable:
            return None
        chosen = next((connection for connection in reversed(usable) if connection.silent), usable[-1])
        self._forget(address, chosen)
        return chosen

    async def open(self, address: str) -> SocketConnection:
        """A connection of its own, for the caller alone until it is left. Raises EngineError."""
        if len(self._open) >= MOST_CONNECTIONS:
            message = f"{MOST_CONNECTIONS} connections are open"
            raise EngineUnavailable(STAGE, self._vendor.engine, message, Fault.OVERLOADED)
        with vendor_errors(STAGE, self._vendor):
            socket = await connect(
                address,
                additional_headers=self._headers,
                ssl=self._tls_for(address),
                compression=None,  # encoded voice does not get smaller
                open_timeout=self._connect_s,
                close_timeout=CLOSE_S,
                max_size=LARGEST_MESSAGE_BYTES,
            )
        connection = SocketConnection(socket, self._vendor, self._keep_alive_s, IDLE_S)
        self._open.add(connection)
        # It outlives the turn that opens it, so it must not log, trace or tell on that turn's behalf.
        self._tasks.create_task(self._serve(address, connection), context=Context())
        return connection

    def leave(self, address: str, connection: SocketConnection) -> None:
        """Leave a connection to whoever needs one next."""
        connection.close_context()
        if connection in self._open:
            self._free.setdefault(address, []).append(connection)

    def discard(self, connection: SocketConnection) -> None:
        """Close a connection that is of no use."""
        if connection in self._open:
            self._tasks.create_task(connection.close(), context=Context())

    async def _serve(self, address: str, connection: SocketConnection) -> None:
        try:
            await connection.run()
        finally:
            self._open.discard(connection)
            self._forget(address, connection)

    def _forget(self, address: str, connection: SocketConnection) -> None:
        """It is not free any more, if it was."""
        left = [free for free in self._free.pop(address, ()) if free is not connection]
        if left:
            self._free[address] = left

    def _tls_for(self, address: str) -> ssl.SSLContext | None:
        """One context for all connections: to make one takes tens of milliseconds, in which the service stands."""
        if address.startswith("wss:") and self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls
