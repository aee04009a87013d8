"""The only module that picks engines: settings in, engines out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from avatar_service.avatars.catalogue import Catalogue
from avatar_service.background import running
from avatar_service.engines.base import Engines
from avatar_service.engines.elevenlabs_speech import ENGINE as ELEVENLABS
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.engines.loop_frames import LoopFrames
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.engines.openai_client import ENGINE as OPENAI
from avatar_service.engines.openai_client import open_connection, openai_client
from avatar_service.engines.openai_transcriber import OpenAITranscriber
from avatar_service.engines.silero_vad import SileroVad
from avatar_service.engines.triton_health import require_rendering, watch
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.engines.triton_preparation import MODEL, TritonFacePreparer
from avatar_service.engines.unfinished_words import UnfinishedWords
from avatar_service.engines.warm_connections import WarmConnections
from avatar_service.errors import EngineError
from avatar_service.log import get_logger
from avatar_service.settings import Settings, TritonSettings

log = get_logger(__name__)


@asynccontextmanager
async def open_engines(settings: Settings, catalogue: Catalogue) -> AsyncIterator[Engines]:
    """The engines of a process, closed with their connections at the end.

    The catalogue keeps the avatars that fit the weights in Triton. Raises StartupError without a Triton that renders
    its default; it is probed with that one from then on.
    """
    async with AsyncExitStack() as stack:
        openai = openai_client(settings.openai, settings.limits)
        stack.push_async_callback(openai.close)
        lip_sync = await stack.enter_async_context(TritonLipSync(settings.triton))
        faces = await stack.enter_async_context(
            TritonFacePreparer(settings.triton, settings.preparation, settings.limits)
        )
        if await lip_sync.ready():  # what follows says what is missing otherwise
            await _keep_fitting(catalogue, faces, settings.triton)
        avatar_key = catalogue.get("").key
        await require_rendering(lip_sync, settings.triton, avatar_key)
        await stack.enter_async_context(running(watch(lip_sync, avatar_key)))
        speech = ElevenLabsSpeech(settings.elevenlabs, settings.limits)
        stack.push_async_callback(speech.aclose)
        connections = WarmConnections(
            {OPENAI: partial(open_connection, openai), ELEVENLABS: speech.open_connection},
        )
        await stack.enter_async_context(running(connections.run()))
        yield Engines(
            voice_activity=SileroVad(),
            transcriber=OpenAITranscriber(openai, settings.limits),
            chat=OpenAIChat(openai, settings.limits),
            speech=speech,
            lip_sync=LoopFrames(lip_sync),
            faces=faces,
            connections=connections,
            end_of_turn=UnfinishedWords(),
        )


async def _keep_fitting(catalogue: Catalogue, faces: TritonFacePreparer, triton: TritonSettings) -> None:
    """Leave out avatars that Triton would refuse, as far as it tells which weights it has. Raises StartupError."""
    if not await faces.ready():
        log.warning("no_preparation", address=triton.address, model=MODEL)
        return
    try:
        catalogue.keep_fitting(await faces.weights())
    except EngineError as error:
        log.warning("weights_unknown", address=triton.address, model=MODEL, error=type(error).__name__)
