"""The sandbox: one HTTP server with the wire protocols of OpenAI (``/openai/v1``) and ElevenLabs (``/elevenlabs``).

Beside them ``GET /sandbox/health`` (200 once all models are loaded, 503 before) and ``GET /sandbox/requests`` (timings
of the last requests). It listens on one address, keeps everything in memory and never reaches out to the network.

Every request of a vendor's passes that vendor's middleware (``serving``), and all that is answered leaves through
``StreamedAnswer``, ``Socket`` or a whole response. Faults are a layer around these (``fault_answers``,
``fault_sockets``) and around what the models yield (``fault_content``); ``/sandbox/faults`` has their rules.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from avatar_service.sandbox import elevenlabs_lists, openai_lists
from avatar_service.sandbox.auth import check_elevenlabs_key, check_openai_key
from avatar_service.sandbox.elevenlabs_socket import StreamInput
from avatar_service.sandbox.elevenlabs_speech import Speech
from avatar_service.sandbox.errors import SandboxError, elevenlabs_error, openai_error
from avatar_service.sandbox.fault_answers import fault_middleware
from avatar_service.sandbox.fault_kinds import FaultRefused
from avatar_service.sandbox.faults import Faults
from avatar_service.sandbox.headers import elevenlabs_headers, openai_headers
from avatar_service.sandbox.models import Models
from avatar_service.sandbox.openai_chat import ChatCompletions
from avatar_service.sandbox.openai_transcriptions import Transcriptions
from avatar_service.sandbox.record import RequestLog
from avatar_service.sandbox.replay import Replay
from avatar_service.sandbox.serving import Load, Vendor, read_body, vendor_middleware
from avatar_service.sandbox.settings import SandboxSettings

_OPENAI: Final = "/openai/v1"
_ELEVENLABS: Final = "/elevenlabs"
_SPEECH: Final = "/v1/text-to-speech/{voice_id}"
_SOCKETS: Final = (f"{_SPEECH}/stream-input", f"{_SPEECH}/multi-stream-input")

_MAX_JSON_BYTES: Final = 1024 * 1024
_KEEPALIVE_S: Final = 75.0
"""How long a connection may stay open without a request."""
_SHUTDOWN_S: Final = 0.3
"""Grace for answers that are being sent, then their handlers are cancelled."""
_JOIN_S: Final = 0.5
"""Grace for native code to come back; with the answers' grace it keeps a stop under 2 s."""


class Sandbox:
    """Owns the server and the models behind it: ``start``, then ``loaded``, at the end ``aclose``."""

    def __init__(
        self,
        settings: SandboxSettings | None = None,
        replay: Replay | None = None,
        faults: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """``faults`` are rules as ``Faults`` takes them; ``ValueError`` if they cannot be."""
        self.faults = Faults(faults)
        self._settings = settings or SandboxSettings()
        self._replay = replay
        self._models = Models.create(self._settings.queue_capacity, replay)
        self._requests = RequestLog(self._settings.requests_kept)
        # A caller that hangs up cancels its handler, and with it what the model does for it.
        self._runner = web.AppRunner(
            self._app(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_S,
            keepalive_timeout=_KEEPALIVE_S,
        )

    async def start(self, host: str, port: int) -> str:
        """Listen, begin to load the models, and return the base URL; requests wait for their model."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise SandboxError(f"cannot listen on {host}:{port}: {_reason(error)}") from error
        self._models.start()
        bound_host, bound_port = self._runner.addresses[0][:2]
        shown = f"[{bound_host}]" if ":" in bound_host else bound_host
        return f"http://{shown}:{bound_port}"

    async def loaded(self) -> None:
        """Wait until all models are loaded; raises ``SandboxError`` if one cannot be."""
        await self._models.loaded()

    def requests(self) -> list[dict[str, Any]]:
        """Return what is remembered of the last requests, oldest first."""
        remembered: list[dict[str, Any]] = self._requests.to_json()["requests"]
        return remembered

    async def aclose(self) -> list[str]:
        """Stop everything within 2 s; returns the models whose native code did not come back in time."""
        self._models.cancel_all()
        await self._runner.cleanup()
        return await self._models.aclose(_JOIN_S)

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/sandbox/health", self._health)
        app.router.add_get("/sandbox/requests", self._list_requests)
        app.router.add_get("/sandbox/faults", self._list_faults)
        app.router.add_post("/sandbox/faults", self._replace_faults)
        app.router.add_delete("/sandbox/faults", self._clear_faults)
        app.add_subapp(_OPENAI, self._openai())
        app.add_subapp(_ELEVENLABS, self._elevenlabs())
        return app

    def _openai(self) -> web.Application:
        key, load = self._settings.key, Load(self._settings.max_requests)
        app = self._vendor_app(
            Vendor(
                "openai",
                lambda headers: check_openai_key(headers, key),
                openai_error,
                lambda record: openai_headers(record, load),
                load=load,
            )
        )
        transcriptions = Transcriptions(self._models, self._settings)
        app.router.add_post("/audio/transcriptions", transcriptions.transcribe)
        app.router.add_post("/audio/translations", transcriptions.translate)
        app.router.add_post("/chat/completions", ChatCompletions(self._models, self._settings, self._replay).create)
        openai_lists.add_routes(app.router)
        return app

    def _elevenlabs(self) -> web.Application:
        key, load = self._settings.key, Load(self._settings.max_requests)
        app = self._vendor_app(
            Vendor(
                "elevenlabs",
                lambda headers: check_elevenlabs_key(headers, key),
                elevenlabs_error,
                lambda record: elevenlabs_headers(record, load),
                checks_key_itself=frozenset(_ELEVENLABS + route for route in _SOCKETS),
                load=load,
                busy_code="too_many_concurrent_requests",
            )
        )
        speech = Speech(self._models, self._settings, keeps=self._replay is not None)
        app.router.add_post(_SPEECH, speech.convert)
        app.router.add_post(f"{_SPEECH}/stream", speech.stream)
        app.router.add_post(f"{_SPEECH}/with-timestamps", speech.convert_with_timestamps)
        app.router.add_post(f"{_SPEECH}/stream/with-timestamps", speech.stream_with_timestamps)
        stream_input = StreamInput(self._models, self._settings)
        for route, handler in zip(_SOCKETS, (stream_input.single, stream_input.multi), strict=True):
            app.router.add_get(route, handler)
        app.on_shutdown.append(stream_input.close_all)
        elevenlabs_lists.add_routes(app.router)
        return app

    def _vendor_app(self, vendor: Vendor) -> web.Application:
        middlewares = [vendor_middleware(vendor, self._requests), fault_middleware(self.faults)]
        return web.Application(middlewares=middlewares, client_max_size=_MAX_JSON_BYTES)

    async def _health(self, request: web.Request) -> web.Response:
        """Answer 200 once every model is loaded, 503 before."""
        workers = self._models.workers
        ready = all(worker.is_loaded for worker in workers)
        models: dict[str, Any] = {
            worker.name: {"loaded": worker.is_loaded, "load_s": round(worker.load_s, 3)} for worker in workers
        }
        body = {"status": "ready" if ready else "loading", "models": models}
        return web.json_response(body, status=200 if ready else 503)

    async def _list_requests(self, request: web.Request) -> web.Response:
        return web.json_response(self._requests.to_json())

    async def _list_faults(self, request: web.Request) -> web.Response:
        return web.json_response(self.faults.to_json())

    async def _replace_faults(self, request: web.Request) -> web.Response:
        """Take the rules of the body in place of all rules; 400 says what is wrong with them."""
        try:
            self.faults.replace(json.loads(await read_body(request, self._settings.deadline_s)))
        except (ValueError, RecursionError) as error:
            message = f"{error}" if isinstance(error, FaultRefused) else "the body must be a JSON list of rules"
            return web.json_response({"error": message}, status=400)
        return await self._list_faults(request)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self.faults.clear()
        return await self._list_faults(request)


def _reason(error: OSError) -> str:
    """Return the system's words for the error, without what asyncio puts around them."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
