"""The only module that picks engines: settings in, engines out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from openai import AsyncOpenAI

from avatar_service.avatars.catalogue import Catalogue
from avatar_service.background import running
from avatar_service.engines.base import ChatModel, Connections, Engines, SpeechSynthesizer, Transcriber
from avatar_service.engines.elevenlabs_socket import ElevenLabsSocketSpeech
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.engines.loop_frames import LoopFrames
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.engines.openai_client import open_connection, openai_client
from avatar_service.engines.openai_transcriber import OpenAITranscriber
from avatar_service.engines.second import ChatModelWithSecond, SpeechWithSecond, TranscriberWithSecond
from avatar_service.engines.silero_vad import SileroVad
from avatar_service.engines.triton_health import require_rendering, wait_for_model, watch
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.engines.triton_preparation import MODEL, TritonFacePreparer
from avatar_service.engines.unfinished_words import UnfinishedWords
from avatar_service.engines.vendor import ELEVENLABS, OPENAI, SECOND_ELEVENLABS, SECOND_OPENAI, Vendor
from avatar_service.engines.warm_connections import WarmConnections
from avatar_service.errors import EngineError
from avatar_service.log import get_logger
from avatar_service.settings import ElevenLabsSettings, LimitSettings, OpenAISettings, Settings, TritonSettings

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class VendorEngines:
    """What the vendors do, and the connections to the first engines' servers."""

    transcriber: Transcriber
    chat: ChatModel
    speech: SpeechSynthesizer
    connections: Connections


@asynccontextmanager
async def open_engines(settings: Settings, catalogue: Catalogue) -> AsyncIterator[Engines]:
    """The engines of a process, closed with their connections at the end.

    The catalogue keeps the avatars that fit the weights in Triton. Raises StartupError without a Triton that renders
    its default; it is probed with that one from then on.
    """
    async with AsyncExitStack() as stack:
        lip_sync = await stack.enter_async_context(TritonLipSync(settings.triton))
        faces = await stack.enter_async_context(
            TritonFacePreparer(settings.triton, settings.preparation, settings.limits)
        )
        if await wait_for_model(lip_sync, settings.triton):  # what follows says what is missing otherwise
            await _keep_fitting(catalogue, faces, settings.triton)
        avatar_key = catalogue.get("").key
        await require_rendering(lip_sync, settings.triton, avatar_key)
        await stack.enter_async_context(running(watch(lip_sync, avatar_key)))
        vendors = await stack.enter_async_context(open_vendors(settings))
        yield Engines(
            voice_activity=SileroVad(),
            transcriber=vendors.transcriber,
            chat=vendors.chat,
            speech=vendors.speech,
            lip_sync=LoopFrames(lip_sync),
            faces=faces,
            connections=vendors.connections,
            end_of_turn=UnfinishedWords(),
            attempts=settings.limits.attempts,
        )


@asynccontextmanager
async def open_vendors(settings: Settings) -> AsyncIterator[VendorEngines]:
    """The engines of vendors, each with its second where there is one, closed with their connections at the end."""
    async with AsyncExitStack() as stack:
        openai, openai_vendor = _openai(stack, settings.openai, settings.limits, OPENAI)
        first_speech = await _first_speech(stack, settings.elevenlabs, settings.limits)
        transcriber, chat = _transcriber_and_chat(stack, settings, openai, openai_vendor)
        connections = WarmConnections(
            {
                OPENAI.engine: partial(open_connection, openai, openai_vendor),
                ELEVENLABS.engine: first_speech.open_connection,
            },
        )
        await stack.enter_async_context(running(connections.run()))
        yield VendorEngines(transcriber, chat, _speech(stack, settings, first_speech), connections)


def _openai(
    stack: AsyncExitStack, settings: OpenAISettings, limits: LimitSettings, vendor: Vendor
) -> tuple[AsyncOpenAI, Vendor]:
    client = openai_client(settings, limits)
    stack.push_async_callback(client.close)
    return client, vendor.at(settings.base_url)


def _elevenlabs(
    stack: AsyncExitStack, settings: ElevenLabsSettings, limits: LimitSettings, vendor: Vendor
) -> ElevenLabsSpeech:
    speech = ElevenLabsSpeech(settings, limits, vendor.at(settings.base_url))
    stack.push_async_callback(speech.aclose)
    return speech


def _transcriber_and_chat(
    stack: AsyncExitStack, settings: Settings, client: AsyncOpenAI, vendor: Vendor
) -> tuple[Transcriber, ChatModel]:
    """The engines of speech to text and of chat, each with its second where there is one."""
    limits, second = settings.limits, settings.second_openai
    transcriber, chat = OpenAITranscriber(client, limits, vendor), OpenAIChat(client, limits, vendor)
    if not second.wanted:
        return transcriber, chat
    client, vendor = _openai(stack, second.instead_of(settings.openai), limits, SECOND_OPENAI)
    second_transcriber, second_chat = OpenAITranscriber(client, limits, vendor), OpenAIChat(client, limits, vendor)
    engine = vendor.engine
    return (
        TranscriberWithSecond(transcriber, second_transcriber, engine, limits, second.transcription_model),
        ChatModelWithSecond(chat, second_chat, engine, limits, second.chat_model),
    )


async def _first_speech(
    stack: AsyncExitStack, settings: ElevenLabsSettings, limits: LimitSettings
) -> ElevenLabsSpeech | ElevenLabsSocketSpeech:
    """The first engine of speech, by the transport of the settings; a second one speaks over HTTP."""
    http = _elevenlabs(stack, settings, limits, ELEVENLABS)
    if settings.transport == "http":
        return http
    socket = ElevenLabsSocketSpeech(http, settings, limits, ELEVENLABS.at(settings.base_url))
    return await stack.enter_async_context(socket)


def _speech(stack: AsyncExitStack, settings: Settings, first: SpeechSynthesizer) -> SpeechSynthesizer:
    """The engine of speech, with its second where there is one."""
    limits, second = settings.limits, settings.second_elevenlabs
    if not second.wanted:
        return first
    other = _elevenlabs(stack, second.instead_of(settings.elevenlabs), limits, SECOND_ELEVENLABS)
    return SpeechWithSecond(first, other, SECOND_ELEVENLABS.engine, limits, second.voice_id, second.model)


async def _keep_fitting(catalogue: Catalogue, faces: TritonFacePreparer, triton: TritonSettings) -> None:
    """Leave out avatars that Triton would refuse, as far as it tells which weights it has. Raises StartupError."""
    if not await faces.ready():
        log.warning("no_preparation", address=triton.address, model=MODEL)
        return
    try:
        catalogue.keep_fitting(await faces.weights())
    except EngineError as error:
        log.warning("weights_unknown", address=triton.address, model=MODEL, error=type(error).__name__)
