"""What ElevenLabs lists: models, voices and their settings."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from avatar_service.sandbox.catalogue import elevenlabs_models
from avatar_service.sandbox.elevenlabs_request import voice_of
from avatar_service.sandbox.elevenlabs_voices import DEFAULT_SETTINGS, VOICES, search_voices, voice_json
from avatar_service.sandbox.errors import elevenlabs_invalid

_DEFAULT_PAGE: Final = 10
_MAX_PAGE: Final = 100


def add_routes(router: web.UrlDispatcher) -> None:
    """Serve the lists."""
    router.add_get("/v1/models", _models)
    router.add_get("/v1/voices", _voices)
    router.add_get("/v1/voices/settings/default", _default_settings)
    router.add_get("/v1/voices/{voice_id}", _voice)
    router.add_get("/v1/voices/{voice_id}/settings", _voice_settings)
    router.add_get("/v2/voices", _search)


async def _models(request: web.Request) -> web.Response:
    return web.json_response(elevenlabs_models())


async def _voices(request: web.Request) -> web.Response:
    return web.json_response({"voices": [voice_json(voice) for voice in VOICES]})


async def _voice(request: web.Request) -> web.Response:
    voice = voice_of(request.match_info["voice_id"])
    with_settings = request.query.get("with_settings", "true").lower() != "false"
    return web.json_response(voice_json(voice, with_settings=with_settings))


async def _voice_settings(request: web.Request) -> web.Response:
    voice_of(request.match_info["voice_id"])
    return web.json_response(DEFAULT_SETTINGS)


async def _default_settings(request: web.Request) -> web.Response:
    return web.json_response(DEFAULT_SETTINGS)


async def _search(request: web.Request) -> web.Response:
    """Answer one page; its token is the number of voices before the next."""
    wanted = request.query.getall("voice_ids", [])
    found = [
        voice for voice in search_voices(request.query.get("search", "")) if not wanted or voice.voice_id in wanted
    ]
    if request.query.get("sort") == "name":
        found.sort(key=lambda voice: voice.name, reverse=request.query.get("sort_direction") == "desc")
    size = _number(request.query, "page_size", _DEFAULT_PAGE, 1, _MAX_PAGE)
    start = _number(request.query, "next_page_token", 0, 0, len(VOICES))
    end = start + size
    has_more = end < len(found)
    return web.json_response(
        {
            "voices": [voice_json(voice) for voice in found[start:end]],
            "has_more": has_more,
            "total_count": len(found),
            "next_page_token": str(end) if has_more else None,
        }
    )


def _number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    value = query.get(name, str(default))
    if not value.isdecimal() or not least <= int(value) <= most:
        raise elevenlabs_invalid(f"Input should be an integer between {least} and {most}", "query", name)
    return int(value)
