"""The only module that picks engines: settings in, engines out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from avatar_service.background import running
from avatar_service.engines.base import Engines
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.engines.openai_client import openai_client
from avatar_service.engines.openai_transcriber import OpenAITranscriber
from avatar_service.engines.silero_vad import SileroVad
from avatar_service.engines.triton_health import require_rendering, watch
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.engines.triton_preparation import MODEL, TritonFacePreparer
from avatar_service.log import get_logger
from avatar_service.settings import Settings

log = get_logger(__name__)


@asynccontextmanager
async def open_engines(settings: Settings, avatar_key: str) -> AsyncIterator[Engines]:
    """The engines of a process, closed with their connections at the end.

    Raises StartupError without a Triton that renders the avatar `avatar_key`; it is probed with that one from then on.
    """
    async with AsyncExitStack() as stack:
        openai = openai_client(settings.openai, settings.limits)
        stack.push_async_callback(openai.close)
        lip_sync = await stack.enter_async_context(TritonLipSync(settings.triton))
        await require_rendering(lip_sync, settings.triton, avatar_key)
        await stack.enter_async_context(running(watch(lip_sync, avatar_key)))
        faces = await stack.enter_async_context(
            TritonFacePreparer(settings.triton, settings.preparation, settings.limits)
        )
        if not await faces.ready():
            log.warning("no_preparation", address=settings.triton.address, model=MODEL)
        speech = ElevenLabsSpeech(settings.elevenlabs, settings.limits)
        stack.push_async_callback(speech.aclose)
        yield Engines(
            voice_activity=SileroVad(),
            transcriber=OpenAITranscriber(openai, settings.limits),
            chat=OpenAIChat(openai, settings.limits),
            speech=speech,
            lip_sync=lip_sync,
            faces=faces,
        )
