"""A TCP proxy whose connections a test breaks, as a network does."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_DISCARD = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: the connection ends with RST instead of FIN."""


class Proxy:
    """Passes bytes on both ways until it is told to break every connection."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._asking, self._answering = asyncio.Event(), asyncio.Event()
        self._asking.set()
        self._answering.set()
        self.address = ""

    def cut(self, *, reset: bool = False) -> None:
        """Break every connection, without a word; with `reset` each end is told that the other is gone, as by a machine
        that started anew."""
        for writer in self._writers:
            if reset:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD)
            writer.transport.abort()
        self._asking.set()  # to nobody: whoever held something back may end
        self._answering.set()

    def fall_silent(self) -> None:
        """Keep every connection and pass nothing on any more."""
        self._asking.clear()
        self._answering.clear()

    def hold_answers(self) -> None:
        """Pass on what comes from clients alone."""
        self._answering.clear()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        both = {writer, there_writer}
        self._writers |= both
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass(reader, there_writer, self._asking))
                tasks.create_task(self._pass(there_reader, writer, self._answering))
        finally:
            self._writers -= both

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: asyncio.Event) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                await passing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def proxied(target: str) -> AsyncIterator[Proxy]:
    """A proxy to `target` on a free port."""
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    proxy.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield proxy
    server.close()
    proxy.cut()
