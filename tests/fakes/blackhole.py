"""A way to a server that can be cut without a word: connections stay, and nothing comes through any more."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

PIECE = 1 << 16
SWALLOWED = 1 << 14
"""Bytes that the server may still get rid of when nobody hears it any more."""


class Blackhole:
    """Passes bytes on in both directions until `swallow`."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._server = host, int(port)
        self._passes = asyncio.Event()
        self._passes.set()
        self.connections: set[asyncio.Task[None]] = set()

    def swallow(self) -> None:
        """From now on neither side hears the other, nor that it is gone."""
        self._passes.clear()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        if task := asyncio.current_task():
            self.connections.add(task)
        behind = socket.socket()
        behind.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SWALLOWED)
        behind.setblocking(False)
        await asyncio.get_running_loop().sock_connect(behind, self._server)
        from_server, to_server = await asyncio.open_connection(sock=behind, limit=SWALLOWED)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):  # asyncio takes a cancelled connection for a fault
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._pass(reader, to_server))
                    tasks.create_task(self._pass(from_server, writer))
        finally:
            to_server.close()
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(PIECE):
            await self._passes.wait()
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def blackhole(address: str) -> AsyncIterator[tuple[str, Blackhole]]:
    """Such a way to `address`; yields its own address and itself."""
    way = Blackhole(address)
    async with await asyncio.start_server(way.connected, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", way
        for connection in way.connections:
            connection.cancel()
        if way.connections:
            await asyncio.wait(way.connections)
