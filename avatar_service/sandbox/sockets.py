"""One WebSocket of a caller's, with its limits. All that leaves is recorded as an answer's bytes are."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web

from avatar_service.sandbox.serving import RECORD, STALL_S, VENDOR

MAX_MESSAGE_BYTES: Final = 64 * 1024
"""Longest message; a longer one ends the connection with 1009."""
_HEARTBEAT_S: Final = 20.0
"""A caller that answers no ping for half of this is gone."""
_CLOSE_S: Final = 1.0
"""How long a caller may take to agree to a close."""
_MAX_REASON_BYTES: Final = 123
"""What fits into a close frame beside its code."""


class Socket:
    """An accepted WebSocket. One task receives, one sends."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._record = request[RECORD]
        self._response = web.WebSocketResponse(
            timeout=_CLOSE_S, heartbeat=_HEARTBEAT_S, compress=False, max_msg_size=MAX_MESSAGE_BYTES
        )
        self._response.headers.update(request[VENDOR].headers(self._record))

    @property
    def response(self) -> web.WebSocketResponse:
        """What the handler returns."""
        return self._response

    async def accept(self) -> None:
        """Answer the handshake; raises ``web.HTTPBadRequest`` if the request is none."""
        await self._response.prepare(self._request)
        self._record.status = self._response.status

    async def receive(self, timeout_s: float) -> str | None:
        """Return the next message's text; None for a message that is not text.

        Raises ``TimeoutError``, or ``ConnectionError`` once the caller has closed.
        """
        async with asyncio.timeout(timeout_s):
            message = await self._response.receive()
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            raise ConnectionError("the caller closed the WebSocket")
        return message.data if isinstance(message.data, str) else None

    async def send(self, body: Mapping[str, Any]) -> None:
        """Send one message; raises ``ConnectionError`` if the caller is gone or has not read for ``STALL_S``."""
        await self.send_text(json.dumps(body))

    async def send_text(self, data: str) -> None:
        """Send one message as it is; raises as ``send`` does."""
        try:
            async with asyncio.timeout(STALL_S):
                await self._response.send_str(data)
        except TimeoutError as error:
            raise ConnectionError("the caller stopped reading") from error
        self._record.sent(len(data))

    async def fail(self, error: str, message: str, code: int = 1008) -> None:
        """Tell the caller what is wrong and close; a caller that is gone is left alone."""
        self._record.outcome = "failed"
        with suppress(ConnectionError):
            await self.send({"message": message, "error": error, "code": code})
            await self.close(code, message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close; waits a moment for the caller's agreement."""
        await self._close(code, reason)

    async def go_away(self) -> None:
        """Close because the sandbox stops."""
        await self._close(WSCloseCode.GOING_AWAY, "The sandbox stops.")

    async def _close(self, code: int, reason: str) -> None:
        if self._record.outcome == "running":  # before the caller, closing in its turn, cancels the handler
            self._record.outcome = "completed"
        await self._response.close(code=code, message=reason.encode()[:_MAX_REASON_BYTES])
