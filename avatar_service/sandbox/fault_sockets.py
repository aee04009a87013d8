"""What a fault does to what leaves the sandbox over a WebSocket. Handshakes fail as other requests do."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from avatar_service.sandbox.fault_answers import cut, fault_of, silence
from avatar_service.sandbox.fault_kinds import InjectedFault
from avatar_service.sandbox.fault_words import close_error
from avatar_service.sandbox.serving import RECORD
from avatar_service.sandbox.sockets import Socket

_POLICY: Final = 1008
_INTERNAL_ERROR: Final = 1011
"""Codes within the message of ``error_frame``; no close follows it."""
_GARBAGE: Final = '{"audio": "\x00\ufffd'


def open_socket(request: web.Request) -> Socket:
    """Return the WebSocket of a handshake, with what the request's fault does to it."""
    fault = fault_of(request)
    return Socket(request) if fault is None else FaultySocket(request, fault)


class FaultySocket(Socket):
    """A WebSocket on which a fault takes the place of the message after the first ``after``, or of the close."""

    def __init__(self, request: web.Request, fault: InjectedFault) -> None:
        super().__init__(request)
        self._fault = fault
        self._sent = 0

    async def send(self, body: Mapping[str, Any]) -> None:
        """Send one message, or what the fault has in its place."""
        if self._sent >= self._fault.after and await self._break():
            return
        self._sent += 1
        await super().send(body)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, unless the fault does or keeps the connection open."""
        if self._sent <= self._fault.after:
            await self._break()
        await super().close(code, reason)

    async def _break(self) -> bool:
        """Do what the fault does here; False if it does nothing. Does not return if nothing may follow."""
        match self._fault.name:
            case "stall":
                await silence(self._request)
            case "cut":
                cut(self._request)
            case "garbage":
                self._sent += 1
                await self.send_text(_GARBAGE)
                return True
            case "error_frame":
                code = None if self._fault.code is None else str(self._fault.code)
                await super().send(close_error(_POLICY if code else _INTERNAL_ERROR, code) or {})
                await silence(self._request)
            case "close":
                await self._close_early()
        return False

    async def _close_early(self) -> None:
        """Say what is wrong, as the vendor does, and close; raises ``ConnectionError``, which ends the session."""
        self._request[RECORD].outcome = "failed"
        code = int(self._fault.code or 0)
        message = close_error(code, self._fault.error)
        if message is not None:
            await super().send(message)
        await super().close(code, "" if message is None else str(message["message"]))
        raise ConnectionResetError("closed by a fault")
