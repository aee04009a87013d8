"""The sandbox: one HTTP server with the wire protocols of OpenAI (``/openai/v1``) and ElevenLabs (``/elevenlabs``).

Beside them ``GET /sandbox/health`` (200 once all models are loaded, 503 before) and ``GET /sandbox/requests`` (timings
of the last requests). It listens on one address, keeps everything in memory and never reaches out to the network.
"""

import os
import secrets
import time
from typing import Any, Final

from aiohttp import web

from avatar_service.sandbox.auth import check_elevenlabs_key, check_openai_key
from avatar_service.sandbox.catalogue import (
    CHAT_MODELS,
    TRANSCRIPTION_MODELS,
    VOICE_ID,
    elevenlabs_models,
    elevenlabs_voice,
    openai_model,
    openai_models,
)
from avatar_service.sandbox.elevenlabs_speech import Speech
from avatar_service.sandbox.errors import SandboxError, elevenlabs_error, openai_error
from avatar_service.sandbox.models import Models
from avatar_service.sandbox.openai_chat import ChatCompletions
from avatar_service.sandbox.openai_transcriptions import Transcriptions
from avatar_service.sandbox.record import RequestLog, RequestRecord
from avatar_service.sandbox.serving import Vendor, vendor_middleware
from avatar_service.sandbox.settings import SandboxSettings

_MAX_JSON_BYTES: Final = 1024 * 1024
_SHUTDOWN_S: Final = 0.3
"""Grace for answers that are being sent, then their handlers are cancelled."""
_JOIN_S: Final = 0.5
"""Grace for native code to come back; with the answers' grace it keeps a stop under 2 s."""


class Sandbox:
    """Owns the server and the models behind it: ``start``, then ``loaded``, at the end ``aclose``."""

    def __init__(self, settings: SandboxSettings | None = None) -> None:
        self._settings = settings or SandboxSettings()
        self._models = Models.create(self._settings.queue_capacity)
        self._requests = RequestLog(self._settings.requests_kept)
        # A caller that hangs up cancels its handler, and with it what the model does for it.
        self._runner = web.AppRunner(
            self._app(), access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S
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

    async def aclose(self) -> list[str]:
        """Stop everything within 2 s; returns the models whose native code did not come back in time."""
        self._models.cancel_all()
        await self._runner.cleanup()
        return await self._models.aclose(_JOIN_S)

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/sandbox/health", self._health)
        app.router.add_get("/sandbox/requests", self._list_requests)
        app.add_subapp("/openai/v1", self._openai())
        app.add_subapp("/elevenlabs", self._elevenlabs())
        return app

    def _openai(self) -> web.Application:
        key = self._settings.key
        vendor = Vendor("openai", lambda headers: check_openai_key(headers, key), openai_error, _openai_headers)
        app = web.Application(middlewares=[vendor_middleware(vendor, self._requests)], client_max_size=_MAX_JSON_BYTES)
        app.router.add_post("/audio/transcriptions", Transcriptions(self._models, self._settings).create)
        app.router.add_post("/chat/completions", ChatCompletions(self._models, self._settings).create)
        app.router.add_get("/models", _openai_models)
        app.router.add_get("/models/{model}", _openai_model)
        return app

    def _elevenlabs(self) -> web.Application:
        key = self._settings.key
        vendor = Vendor(
            "elevenlabs", lambda headers: check_elevenlabs_key(headers, key), elevenlabs_error, _elevenlabs_headers
        )
        app = web.Application(middlewares=[vendor_middleware(vendor, self._requests)], client_max_size=_MAX_JSON_BYTES)
        speech = Speech(self._models, self._settings)
        app.router.add_post("/v1/text-to-speech/{voice_id}/stream", speech.stream)
        app.router.add_post("/v1/text-to-speech/{voice_id}", speech.convert)
        app.router.add_get("/v1/models", _elevenlabs_models)
        app.router.add_get("/v1/voices", _elevenlabs_voices)
        app.router.add_get("/v1/voices/{voice_id}", _elevenlabs_voice)
        app.router.add_get("/v2/voices", _elevenlabs_voices_v2)
        return app

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


def _reason(error: OSError) -> str:
    """Return the system's words for the error, without what asyncio puts around them."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def _openai_headers(record: RequestRecord) -> dict[str, str]:
    return {
        "x-request-id": f"req_{secrets.token_hex(16)}",
        "openai-processing-ms": str(round((time.monotonic() - record.started_s) * 1000)),
        "openai-version": "2020-10-01",
        "openai-organization": "sandbox",
    }


def _elevenlabs_headers(record: RequestRecord) -> dict[str, str]:
    return {
        "request-id": secrets.token_hex(10),
        "tts-latency-ms": str(round((time.monotonic() - record.started_s) * 1000)),
    }


async def _openai_models(request: web.Request) -> web.Response:
    return web.json_response(openai_models())


async def _openai_model(request: web.Request) -> web.Response:
    name = request.match_info["model"]
    if name not in (*CHAT_MODELS, *TRANSCRIPTION_MODELS):
        raise openai_error(404, "model_not_found", f"The model '{name[:80]}' does not exist", "model")
    return web.json_response(openai_model(name))


async def _elevenlabs_models(request: web.Request) -> web.Response:
    return web.json_response(elevenlabs_models())


async def _elevenlabs_voices(request: web.Request) -> web.Response:
    return web.json_response({"voices": [elevenlabs_voice()]})


async def _elevenlabs_voice(request: web.Request) -> web.Response:
    if request.match_info["voice_id"] != VOICE_ID:
        raise elevenlabs_error(404, "voice_not_found", f"This sandbox has one voice: {VOICE_ID}.")
    return web.json_response(elevenlabs_voice())


async def _elevenlabs_voices_v2(request: web.Request) -> web.Response:
    """Answer with the one voice, which is always the last page."""
    return web.json_response(
        {"voices": [elevenlabs_voice()], "has_more": False, "total_count": 1, "next_page_token": None}
    )
