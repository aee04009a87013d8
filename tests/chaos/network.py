"""The network between the service and its vendors: a name, an address and a way that a test breaks as networks do."""

import asyncio
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from tests.service.client.certificate import CERTIFICATE, KEY

HOST = "localhost"
"""Name of the vendors, as their certificate has it."""


class Break(Enum):
    """What is wrong with the network."""

    REFUSED = "refused"
    """Nobody listens at the address."""
    NO_NAME = "no_name"
    """The name cannot be resolved."""
    NO_TLS = "no_tls"
    """Whoever listens does not speak TLS."""


class Network:
    """A TCP way to a vendor behind TLS, on one port, by name."""

    def __init__(self) -> None:
        self._target = ("127.0.0.1", 0)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self.resolves = True
        """Whether the name is known."""
        self.port = 0

    @property
    def open(self) -> int:
        """Connections through which bytes can pass."""
        return len(self._connections)

    @property
    def url(self) -> str:
        """Where the service finds the vendor."""
        return f"https://{HOST}:{self.port}"

    def leads_to(self, address: str) -> None:
        """Where the vendors really are."""
        host, _, port = address.rpartition(":")
        self._target = host, int(port)

    async def start(self, *, tls: bool = True) -> None:
        """Listen, on the same port as ever."""
        context = _server_tls() if tls else None
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections and break those that are there."""
        if self._server:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """Break the connections that are there."""
        for writer in self._connections:
            writer.transport.abort()
        while self._connections:
            await asyncio.sleep(0.001)

    @asynccontextmanager
    async def broken(self, how: Break) -> AsyncIterator[None]:
        """During the block it is broken so; connections that were open before break too."""
        await self.stop()
        self.resolves = how is not Break.NO_NAME
        if how is Break.NO_TLS:
            await self.start(tls=False)
        try:
            yield
        finally:
            self.resolves = True
            await self.stop()
            await self.start()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        both = {writer, there_writer}
        self._connections |= both
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_pass(reader, there_writer))
                tasks.create_task(_pass(there_reader, writer))
        finally:
            for end in both:
                end.transport.abort()
            self._connections -= both


@contextmanager
def known(*networks: Network) -> Iterator[None]:
    """During the block the vendors' name leads to this machine, as long as the network of the port has it."""
    resolve = socket.getaddrinfo

    def resolved(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host not in (HOST, HOST.encode()):
            return resolve(host, port, *arguments, **options)
        network = next((one for one in networks if one.port == int(port)), None)
        if network and not network.resolves:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve("127.0.0.1", port, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolved)
        yield


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.close()


def _server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "certificate"), Path(folder, "key")
        for file, content in zip(files, (CERTIFICATE, KEY), strict=True):
            file.write_bytes(content)
        context.load_cert_chain(*files)
    return context
