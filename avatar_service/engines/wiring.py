"""The only module that picks engines: settings in, engines out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from avatar_service.engines.base import Engines
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.engines.openai_client import openai_client
from avatar_service.engines.openai_transcriber import OpenAITranscriber
from avatar_service.engines.silero_vad import SileroVad
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.errors import StartupError
from avatar_service.settings import Settings


@asynccontextmanager
async def open_engines(settings: Settings) -> AsyncIterator[Engines]:
    """The engines of a process, closed with their connections at the end. Raises StartupError without a Triton."""
    async with AsyncExitStack() as stack:
        openai = openai_client(settings.openai, settings.limits)
        stack.push_async_callback(openai.close)
        lip_sync = await stack.enter_async_context(TritonLipSync(settings.triton))
        if not await lip_sync.ready():
            raise StartupError(
                f"AVATAR_TRITON_ADDRESS: no Triton with model {settings.triton.model!r} at "
                f"{settings.triton.address}; `avatar-service triton` starts one"
            )
        speech = ElevenLabsSpeech(settings.elevenlabs, settings.limits)
        stack.push_async_callback(speech.aclose)
        yield Engines(
            voice_activity=SileroVad(),
            transcriber=OpenAITranscriber(openai, settings.limits),
            chat=OpenAIChat(openai, settings.limits),
            speech=speech,
            lip_sync=lip_sync,
        )
