"""ElevenLabs' multi-stream-input over a real WebSocket that answers each flushed text with the next of a script."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets import ConnectionClosed, Request, Response
from websockets.asyncio.server import ServerConnection, serve

RATE_HZ = 24_000


@dataclass(frozen=True, slots=True)
class Said:
    """What answers a text: messages, each after a pause, one more after `late_s`, then what breaks off, if anything.

    A `dict` gets the context's id, unless it has one.
    """

    messages: tuple[dict[str, Any] | str | bytes, ...] = ()
    pause_s: float = 0.0
    cut: bool = False
    close: int = 0
    endless: bool = False
    late: dict[str, Any] | None = None
    late_s: float = 0.5


@dataclass
class Heard:
    """One connection, as the vendor saw it."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    messages: list[dict[str, Any]] = field(default_factory=list)

    def of(self, *fields: str) -> list[dict[str, Any]]:
        """The messages that have one of these fields."""
        return [message for message in self.messages if any(message.get(name) for name in fields)]


@dataclass
class SocketVendor:
    """The script, the statuses and the body of the first handshakes, the connections that came, and how many are open.

    `answered` texts were answered, with `sent` messages.
    """

    script: list[Said]
    statuses: list[int] = field(default_factory=list)
    body: str = "words of the vendor"
    ends_contexts: bool = True
    url: str = ""
    connections: list[Heard] = field(default_factory=list)
    open: int = 0
    answered: int = 0
    sent: int = 0

    async def handle(self, socket: ServerConnection) -> None:
        """Serve one connection until its end."""
        assert socket.request is not None
        parts = urlsplit(socket.request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        heard = Heard(parts.path, query, dict(socket.request.headers.raw_items()))
        self.connections.append(heard)
        self.open += 1
        answering: list[asyncio.Task[None]] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                with suppress(ConnectionClosed):
                    async for data in socket:
                        message = json.loads(data)
                        heard.messages.append(message)
                        if message.get("flush"):
                            answering.append(tasks.create_task(self._answer(socket, message["context_id"])))
                        elif message.get("close_context") and self.ends_contexts:
                            await socket.send(json.dumps({"isFinal": True, "contextId": message["context_id"]}))
                        elif message.get("close_socket"):
                            await socket.close()
                for task in answering:
                    task.cancel()
        finally:
            self.open -= 1

    async def _answer(self, socket: ServerConnection, context: str) -> None:
        said = self.script[min(self.answered, len(self.script) - 1)]
        self.answered += 1
        with suppress(ConnectionClosed):
            while True:
                for message in said.messages:
                    await asyncio.sleep(said.pause_s)
                    told = json.dumps({"contextId": context} | message) if isinstance(message, dict) else message
                    await socket.send(told)
                    self.sent += 1
                if not said.endless:
                    break
            if said.late:
                await asyncio.sleep(said.late_s)
                await socket.send(json.dumps({"contextId": context} | said.late))
                self.sent += 1
            if said.cut:
                socket.transport.abort()
            if said.close:
                await socket.close(said.close, "words of the vendor")

    def answer_handshake(self, socket: ServerConnection, request: Request) -> Response | None:
        """Refuse the handshake with the next status, if there is one."""
        del request
        if not self.statuses:
            return None
        return socket.respond(HTTPStatus(self.statuses.pop(0)), self.body)


@asynccontextmanager
async def socket_vendor(*script: Said, statuses: Sequence[int] = ()) -> AsyncIterator[SocketVendor]:
    """Serve a script on a free port."""
    vendor = SocketVendor(list(script), list(statuses))
    async with serve(vendor.handle, "127.0.0.1", 0, process_request=vendor.answer_handshake) as server:
        vendor.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield vendor


def piece(sound: bytes, characters: str = "", starts_ms: Sequence[int] = (), lasting_ms: int = 10) -> dict[str, Any]:
    """A message with sound and the times of some characters."""
    aligned = {
        "chars": list(characters),
        "charStartTimesMs": list(starts_ms),
        "charDurationsMs": [lasting_ms] * len(characters),
    }
    return {
        "audio": base64.b64encode(sound).decode(),
        "isFinal": None,
        "normalizedAlignment": None,
        "alignment": aligned if characters else None,
    }


def pcm(seconds: float, first: int = 0) -> bytes:
    """Sound that differs at every sample."""
    return b"".join((first + index).to_bytes(2, "little") for index in range(round(seconds * RATE_HZ)))


def voice(text: str, first: int = 0) -> Said:
    """10 ms for each character, two messages, times that count from each message, and 50 ms of silence in a third."""
    half = len(text) // 2
    sound = pcm(0.01 * len(text) + 0.05, first)
    parts = (text[:half], text[half:])
    cut, end = 480 * half, 480 * len(text)
    sounds = (sound[:cut], sound[cut:end])
    timed = [piece(one, part, range(0, 10 * len(part), 10)) for one, part in zip(sounds, parts, strict=True)]
    return Said((*timed, piece(sound[end:])))
