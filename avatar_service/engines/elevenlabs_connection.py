"""One WebSocket to ElevenLabs' multi-stream-input, and the contexts on it.

What the vendor does, by its reference and by what its users measured: it speaks to the end what was flushed, also of a
context that was closed since, and counts that context until its `isFinal`. A message for a context that it does not
know begins one, so nothing may be sent for a context before its first message or after its close.
"""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from avatar_service import clock
from avatar_service.engines.elevenlabs_alignment import decoded, socket_timed
from avatar_service.engines.vendor import Vendor
from avatar_service.engines.vendor_errors import BY_CLOSE_CODE, vendor_error, vendor_errors
from avatar_service.errors import EngineError, EngineUnavailable, Fault
from avatar_service.media.types import SpokenCharacter

STAGE: Final = "speak"
MOST_CONTEXTS: Final = 5
"""The vendor's limit for one connection; one more and it closes it."""
ENDING_S: Final = 10.0
"""How long a closed context may take to its `isFinal`; after that the connection counts as stalled."""
MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
"""Most bytes of messages that wait for a turn to take them, minutes of voice in any format. A turn takes it no faster
than it is played, and a connection that is not read meanwhile would miss the vendor's pings."""
MOST_OUTGOING: Final = 64
"""Most messages that wait to be sent: a sentence is one or two."""
GOODBYE_S: Final = 0.5
"""How long the last messages may take."""


@dataclass(frozen=True, slots=True)
class SocketMessage:
    """A piece of a context's voice, as it was sent: encoded sound, and the characters whose times came with it."""

    sound: bytes
    timed: tuple[SpokenCharacter, ...]
    is_final: bool
    size_bytes: int


class SocketContext:
    """One turn's voice on a connection."""

    def __init__(self, connection: "SocketConnection", name: str) -> None:
        self.name = name
        self._connection = connection
        self._messages: asyncio.Queue[SocketMessage | EngineError] = asyncio.Queue()
        self._waiting_bytes = 0

    def say(self, text: str) -> None:
        """Have a text spoken at once. Raises EngineError on a connection that is gone."""
        self._connection.send({"text": f"{text.strip()} ", "context_id": self.name, "flush": True})

    def drop(self) -> bool:
        """Forget what came and was not taken; whether the context goes on after it."""
        goes_on = True
        while not self._messages.empty():
            goes_on &= not self._taken(self._messages.get_nowait()).is_final
        return goes_on

    async def next(self, within_s: float | None) -> SocketMessage | None:
        """The next message, None if there is none `within_s`. Raises EngineError."""
        try:
            async with asyncio.timeout(within_s):
                message = await self._messages.get()
        except TimeoutError:
            return None
        return self._taken(message)

    def put(self, message: SocketMessage) -> bool:
        """A message has come; False if more wait than may."""
        self._waiting_bytes += message.size_bytes
        self._messages.put_nowait(message)
        return self._waiting_bytes <= MOST_WAITING_BYTES

    def fail(self, error: EngineError) -> None:
        """No message will come any more."""
        self._messages.put_nowait(error)

    def _taken(self, message: SocketMessage | EngineError) -> SocketMessage:
        if isinstance(message, EngineError):
            raise message
        self._waiting_bytes -= message.size_bytes
        return message


class SocketConnection:
    """An open WebSocket. One context speaks at a time; others may still be ending. `run` serves it to its end."""

    def __init__(self, socket: ClientConnection, vendor: Vendor, keep_alive_s: float, idle_s: float) -> None:
        """A message goes out at least every `keep_alive_s`; the connection closes itself after `idle_s` of no use."""
        self._socket = socket
        self._vendor = vendor
        self._keep_alive_s = keep_alive_s
        self._idle_s = idle_s
        self._outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MOST_OUTGOING)
        self._speaking: SocketContext | None = None
        self._ending: dict[str, float] = {}
        """Contexts that were closed and are not over, with the moment of their close."""
        self._contexts = 0
        self._used_s = clock.now()
        self._error: EngineError | None = None
        response = socket.response
        self.request_id = response.headers.get("request-id") if response else None
        """The vendor's name of the handshake."""

    @property
    def is_gone(self) -> bool:
        """Whether it has closed, or failed."""
        return self._error is not None

    @property
    def usable(self) -> bool:
        """Whether another context can be opened."""
        stalled = any(clock.now() > closed_s + ENDING_S for closed_s in self._ending.values())
        return not self.is_gone and not stalled and len(self._ending) < MOST_CONTEXTS - 1

    @property
    def silent(self) -> bool:
        """Whether no context is left on it."""
        return self._speaking is None and not self._ending

    def open_context(self, settings: dict[str, Any]) -> SocketContext:
        """Begin a context with the fields of its first message. Raises EngineError on a connection that is gone."""
        self._contexts += 1
        context = SocketContext(self, f"turn-{self._contexts}")
        self._speaking = context
        self.send({"text": " ", "context_id": context.name} | settings)
        return context

    def close_context(self) -> None:
        """End the context that speaks; what of it still comes is dropped."""
        context, self._speaking = self._speaking, None
        self._used_s = clock.now()
        if context is not None:
            self._ending[context.name] = self._used_s
            with suppress(EngineError):  # a connection that is gone has ended it
                self.send({"context_id": context.name, "close_context": True})

    def send(self, message: dict[str, Any]) -> None:
        """Have a message sent. Raises EngineError on a connection that is gone."""
        if self._error is not None:
            raise self._error
        try:
            self._outgoing.put_nowait(message)
        except asyncio.QueueFull:
            error = EngineUnavailable(STAGE, self._vendor.engine, "takes no more messages", Fault.OVERLOADED)
            self._end(error)
            raise error from None

    async def run(self) -> None:
        """Receive and send until either side closes. Raises nothing: errors go to who waits for the voice."""
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(self._send_all())
            try:
                with vendor_errors(STAGE, self._vendor):
                    while True:
                        self._take(await self._socket.recv())
            except EngineError as error:
                self._end(error)
            finally:
                sending.cancel()
                await self._socket.close()

    async def close(self) -> None:
        """Say goodbye and close."""
        self._end(EngineUnavailable(STAGE, self._vendor.engine, "closed by us"))
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self._socket.send(json.dumps({"close_socket": True}))
        except (ConnectionClosed, TimeoutError):
            pass
        await self._socket.close()

    async def _send_all(self) -> None:
        """Send what is to be sent, and in silence what keeps the connection open as long as it may be of use."""
        try:
            while True:
                try:
                    async with asyncio.timeout(self._keep_alive_s):
                        message = await self._outgoing.get()
                except TimeoutError:
                    if self._speaking is None and clock.now() >= self._used_s + self._idle_s:
                        break
                    message = self._keep_alive
                await self._socket.send(json.dumps(message))
        except ConnectionClosed:
            return  # whoever receives has seen it too
        await self.close()

    @property
    def _keep_alive(self) -> dict[str, Any]:
        """An empty text: for the context that speaks, which has a timeout of its own, or for the connection."""
        return {"text": ""} | ({"context_id": self._speaking.name} if self._speaking else {})

    def _take(self, data: str | bytes) -> None:
        """Read one message and give it to its context; one of a context that is closed is dropped."""
        message = json.loads(data)
        if message.get("error") is not None:
            otherwise = BY_CLOSE_CODE.get(message.get("code"), Fault.OVERLOADED)
            raise vendor_error(STAGE, self._vendor, body=message, otherwise=otherwise, what="error message")
        name, is_final, context = message.get("contextId"), message.get("isFinal") is True, self._speaking
        if is_final:
            self._ending.pop(name, None)
        if context is None or context.name != name:
            return
        if is_final:
            self._speaking = None
        sound, timed = decoded(message.get("audio")), tuple(socket_timed(message.get("alignment")))
        if not context.put(SocketMessage(sound, timed, is_final, len(data))):
            raise EngineUnavailable(STAGE, self._vendor.engine, "sends without end", Fault.MALFORMED)

    def _end(self, error: EngineError) -> None:
        """No message will come any more."""
        self._error = self._error or error
        if self._speaking is not None:
            self._speaking.fail(self._error)
