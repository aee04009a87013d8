"""The systems that the cells share, on a loop that stands still between tests."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.chaos.cells import Cell, Row
from tests.chaos.network import Break, Network, known
from tests.chaos.playing import ask, opened
from tests.chaos.system import System, running_system
from tests.service.client.certificate import CERTIFICATE

T = TypeVar("T")


class Systems:
    """Each is started when it is first asked for, and serves all cells that need such a one."""

    def __init__(self, folder: Path, runner: asyncio.Runner) -> None:
        self.folder = folder
        self._runner = runner
        self._stack = AsyncExitStack()
        self._systems: dict[str, System] = {}
        self._networks: dict[str, tuple[Network, Network]] = {}

    def run(self, block: Coroutine[Any, Any, T]) -> T:
        """Run it on the systems' loop."""
        return self._runner.run(block)

    async def of(self, cell: Cell) -> System:
        """The system of a cell, at rest after a turn: what it keeps open is open."""
        kind = _kind(cell)
        if kind not in self._systems:
            system = self._systems[kind] = await self._stack.enter_async_context(self._running(kind))
            call = await opened(system)
            await ask(call, by_voice=True)
            await call.finish()
        return self._systems[kind]

    async def aclose(self) -> None:
        """Stop all."""
        await self._stack.aclose()

    @asynccontextmanager
    async def _running(self, kind: str) -> AsyncIterator[System]:
        transport, _, networked = kind.partition(" ")
        elevenlabs = {"transport": transport} if transport != "http" else {}
        if not networked:
            async with running_system(self.folder / transport, elevenlabs=elevenlabs) as system:
                yield system
            return
        async with AsyncExitStack() as stack:
            networks = Network(), Network()
            stack.enter_context(known(*networks))
            for network in networks:
                await network.start()
                stack.push_async_callback(network.stop)
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setenv("SSL_CERT_FILE", str(self._certificate()))
            running = running_system(
                self.folder / transport,
                openai_at=networks[0].url,
                elevenlabs_at=networks[1].url,
                elevenlabs=elevenlabs,
            )
            system = await stack.enter_async_context(running)
            for network in networks:
                network.leads_to(system.sandbox_url.removeprefix("http://"))
            self._networks[kind] = networks
            yield system

    def network_of(self, cell: Cell) -> Network:
        """What lies between its system and the vendor that it concerns."""
        openai, elevenlabs = self._networks[_kind(cell)]
        return openai if cell.row in (Row.TRANSCRIPTION, Row.CHAT) else elevenlabs

    def _certificate(self) -> Path:
        """Those that are trusted here: the vendors' alone."""
        path = self.folder / "trusted.pem"
        path.write_bytes(CERTIFICATE)
        assert ssl.create_default_context(cafile=str(path)).get_ca_certs()
        return path


def _kind(cell: Cell) -> str:
    """The transport of the voice, and whether there is a network to break. A WebSocket needs one for every fault: what
    concerns its handshake must find it closed."""
    if cell.row is Row.SOCKET:
        return "websocket networked"
    return "http networked" if isinstance(cell.inject, Break) else "http"


@pytest.fixture(scope="session")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systems]:
    with asyncio.Runner() as runner:
        systems = Systems(tmp_path_factory.mktemp("chaos"), runner)
        try:
            yield systems
        finally:
            systems.run(systems.aclose())
