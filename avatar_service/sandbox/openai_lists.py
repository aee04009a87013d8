"""What OpenAI lists: models."""

from aiohttp import web

from avatar_service.sandbox.catalogue import CHAT_MODELS, TRANSCRIPTION_MODELS, openai_model, openai_models
from avatar_service.sandbox.errors import openai_error


def add_routes(router: web.UrlDispatcher) -> None:
    """Serve the list and its entries."""
    router.add_get("/models", _models)
    router.add_get("/models/{model}", _model)


async def _models(request: web.Request) -> web.Response:
    return web.json_response(openai_models())


async def _model(request: web.Request) -> web.Response:
    name = request.match_info["model"]
    if name not in (*CHAT_MODELS, *TRANSCRIPTION_MODELS):
        raise openai_error(404, "model_not_found", f"The model '{name[:80]}' does not exist", "model")
    return web.json_response(openai_model(name))
