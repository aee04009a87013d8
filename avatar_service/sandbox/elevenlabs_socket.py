"""``v1/text-to-speech/{voice_id}/stream-input`` and ``multi-stream-input``: the WebSockets' handshakes and their ends.

As the vendor does, a handshake is mostly accepted; what is wrong with it is said in a message before the close.
"""

import asyncio
from typing import Final, TypeVar

from aiohttp import web

from avatar_service.sandbox.auth import check_elevenlabs_key
from avatar_service.sandbox.elevenlabs_request import (
    SOCKETLESS_MODELS,
    SpeechStyle,
    check_language,
    check_model,
    format_of,
    seed_of,
    voice_of,
)
from avatar_service.sandbox.elevenlabs_speech import speech_rate
from avatar_service.sandbox.errors import VendorError, elevenlabs_error, elevenlabs_invalid
from avatar_service.sandbox.fault_answers import fault_of
from avatar_service.sandbox.fault_sockets import open_socket
from avatar_service.sandbox.models import Models
from avatar_service.sandbox.serving import RECORD
from avatar_service.sandbox.settings import SandboxSettings
from avatar_service.sandbox.socket_messages import SocketRefusal
from avatar_service.sandbox.socket_session import Connection, SocketSession
from avatar_service.sandbox.sockets import Socket
from avatar_service.sandbox.speech_formats import STREAM_FORMATS
from avatar_service.sandbox.worker import WorkerBusy, WorkerClosed, WorkerError

DEFAULT_INACTIVITY_S: Final = 20.0
MAX_INACTIVITY_S: Final = 180.0

_GOING_AWAY_S: Final = 0.2
"""How long callers may take to agree to a close when the sandbox stops."""
_INTERNAL_ERROR: Final = 1011
_GOING_AWAY: Final = 1001

Failure = TypeVar("Failure", bound=BaseException)


class StreamInput:
    """The routes and the connections that are open on them."""

    def __init__(self, models: Models, settings: SandboxSettings) -> None:
        self._models = models
        self._settings = settings
        self._open: set[Socket] = set()

    async def single(self, request: web.Request) -> web.StreamResponse:
        """Speak one text that arrives in pieces."""
        return await self._serve(request, is_multi=False)

    async def multi(self, request: web.Request) -> web.StreamResponse:
        """Speak several texts that arrive in pieces, each in a context of its own."""
        return await self._serve(request, is_multi=True)

    async def close_all(self, _: web.Application) -> None:
        """Tell all callers that the sandbox goes away."""
        closes = [asyncio.create_task(socket.go_away()) for socket in self._open]
        if closes:
            await asyncio.wait(closes, timeout=_GOING_AWAY_S)
        for close in closes:
            close.cancel()

    async def _serve(self, request: web.Request, *, is_multi: bool) -> web.StreamResponse:
        if len(self._open) >= self._settings.max_sockets:
            raise elevenlabs_error(
                429, "too_many_concurrent_requests", f"This sandbox serves {self._settings.max_sockets} WebSockets."
            )
        if request.query.get("model_id") in SOCKETLESS_MODELS:
            raise elevenlabs_error(403, "model_not_supported", "This model is not available on WebSockets.", "model_id")
        socket = open_socket(request)
        await socket.accept()
        self._open.add(socket)
        try:
            await self._converse(request, socket, is_multi=is_multi)
        except* ConnectionError:
            if request[RECORD].outcome == "running":
                request[RECORD].outcome = "cancelled"
        except* SocketRefusal as errors:
            refusal = _first(errors)
            await socket.fail(refusal.error, refusal.message)
        except* VendorError as errors:
            await socket.fail(*_words(_first(errors)))
        except* WorkerBusy:
            await socket.fail("system_busy", "Too many requests wait for this voice. Please try again later.")
        except* WorkerClosed:
            await socket.fail("unavailable", "The sandbox is stopping.", _GOING_AWAY)
        except* WorkerError:
            await socket.fail("timeout", "The voice took too long.", _INTERNAL_ERROR)
        finally:
            self._open.discard(socket)
        return socket.response

    async def _converse(self, request: web.Request, socket: Socket, *, is_multi: bool) -> None:
        connection = self._connection(request, is_multi=is_multi)
        session = SocketSession(socket, connection, self._models.hibari, self._settings, request[RECORD].figures)
        await session.run()

    def _connection(self, request: web.Request, *, is_multi: bool) -> Connection:
        """Check path, query and headers; raises ``VendorError``."""
        has_key = "xi-api-key" in request.headers
        if has_key:
            check_elevenlabs_key(request.headers, self._settings.key)
        query = request.query
        check_model(query.get("model_id"))
        check_language(query.get("language_code"))
        seed = query.get("seed")
        style = SpeechStyle(
            voice=voice_of(request.match_info["voice_id"]),
            output_format=format_of(query, STREAM_FORMATS),
            seed=seed_of(int(seed) if seed is not None and seed.isdecimal() else seed),
        )
        return Connection(
            style=style,
            inactivity_s=_inactivity_s(query.get("inactivity_timeout")),
            auto=query.get("auto_mode", "").lower() in ("true", "1"),
            speech_rate=speech_rate(request, self._settings.speech_rate),
            is_multi=is_multi,
            key=None if has_key else self._settings.key,
            fault=fault_of(request),
        )


def _inactivity_s(value: str | None) -> float:
    if value is None:
        return DEFAULT_INACTIVITY_S
    if not value.isdecimal() or not 0 < int(value) <= MAX_INACTIVITY_S:
        raise elevenlabs_invalid(
            f"Input should be an integer between 1 and {MAX_INACTIVITY_S:g}", "query", "inactivity_timeout"
        )
    return float(value)


def _first(group: BaseExceptionGroup[Failure]) -> Failure:
    """Return the first error of a group."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _words(error: VendorError) -> tuple[str, str]:
    """Return the status and message of an error answer."""
    detail = error.body["detail"]
    if isinstance(detail, list):
        return "invalid_parameters", f"{'.'.join(detail[0]['loc'])}: {detail[0]['msg']}"
    return detail["status"], detail["message"]
