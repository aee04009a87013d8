"""Text to speech by ElevenLabs' streaming API, or any server that speaks it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx
from elevenlabs import StreamingAudioChunkWithTimestampsResponse, VoiceSettings
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.core.request_options import RequestOptions
from elevenlabs.environment import ElevenLabsEnvironment

from avatar_service import clock
from avatar_service.engines import policy
from avatar_service.engines.attempt import Attempt
from avatar_service.engines.base import SpeechContext, SpeechPiece, Voice, VoiceInfo
from avatar_service.engines.elevenlabs_alignment import Alignment, sound_of
from avatar_service.engines.elevenlabs_voices import list_voices
from avatar_service.engines.warm_connections import STAGE as WARM_STAGE
from avatar_service.errors import EngineRejected, EngineTimeout, EngineUnavailable
from avatar_service.media.voice_stream import VoiceDecoder, voice_decoder
from avatar_service.media.wire_audio import MalformedAudio
from avatar_service.settings import ElevenLabsSettings, LimitSettings

STAGE = "speak"
VOICES_STAGE = "list_voices"
ENGINE = "elevenlabs"
PIECE_MS = 20
"""Length of the pieces that the SDK passes on. Its own 1,024 bytes would hold back a slow first sound for longer."""
KEPT_ALIVE_S = 120.0
"""How long an idle connection is kept; httpx's 5 s would cost a new TLS handshake in almost every turn."""
MODELS_WITHOUT_CONTEXT = frozenset({"eleven_v3"})
"""Models with which the vendor refuses a request that carries the text before."""
NO_SUCH_CALL = (404, 405, 501)
"""Statuses by which a server says that it does not have a call; 404 may be a voice that it does not have, too."""
VOICES_KEPT_S = 300.0
"""How old the list of voices may be."""


class ElevenLabsSpeech:
    """Says one sentence a request, and decodes whatever format the vendor was asked for."""

    def __init__(self, settings: ElevenLabsSettings, limits: LimitSettings) -> None:
        timeout = httpx.Timeout(settings.timeout_s, connect=limits.connect_s)
        self._http = httpx.AsyncClient(
            timeout=timeout, limits=httpx.Limits(max_connections=1000, keepalive_expiry=KEPT_ALIVE_S)
        )
        self._api_key = settings.api_key.get_secret_value() or "none"
        self._base_url = settings.base_url or ElevenLabsEnvironment.PRODUCTION.value
        self._client = AsyncElevenLabs(api_key=self._api_key, base_url=self._base_url, httpx_client=self._http)
        self._settings = settings
        self._limits = limits
        self._tells_times = True
        """Whether the server may have the call that tells times; compatible ones often have only the plain one."""
        self._listing = asyncio.Lock()
        self._voices: tuple[VoiceInfo, ...] = ()
        self._voices_until_s = 0.0

    @property
    def rate_hz(self) -> int:
        """Sample rate of the configured output format, decoded."""
        return self._settings.rate_hz

    @asynccontextmanager
    async def speaking(self, voice: Voice) -> AsyncIterator[SpeechContext]:
        """A turn's voice, of one request a sentence."""
        yield _Sentences(self, voice)

    def synthesize(self, text: str, voice: Voice, previous_text: str) -> AsyncGenerator[SpeechPiece, None]:
        """Stream the voice of `text`, with the times of its characters where the server has that call."""
        return policy.stream(
            STAGE, ENGINE, lambda attempt: self._attempt(text, voice, previous_text, attempt), self._limits
        )

    async def voices(self) -> Sequence[VoiceInfo]:
        """The voices of the account, by name; at most five minutes old. Raises EngineError."""
        async with self._listing:
            if clock.now() >= self._voices_until_s:
                limit_s = self._limits.first_output_s
                self._voices = await policy.call(VOICES_STAGE, ENGINE, self._list_voices, self._limits, limit_s)
                self._voices_until_s = clock.now() + VOICES_KEPT_S
        return self._voices

    async def open_connection(self) -> None:
        """Ask for the list of models, which costs nothing, to have a connection open. Raises EngineError."""
        with _elevenlabs_errors(WARM_STAGE):
            await self._http.get(f"{self._base_url}/v1/models", headers={"xi-api-key": self._api_key})

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _list_voices(self, attempt: Attempt) -> tuple[VoiceInfo, ...]:
        with _elevenlabs_errors(VOICES_STAGE):
            try:
                return tuple(await list_voices(self._client))
            except (AttributeError, TypeError) as error:
                # The SDK builds its objects from whatever came, without checking it.
                raise EngineRejected(VOICES_STAGE, ENGINE, "the answer is no list of voices") from error

    async def _attempt(
        self, text: str, voice: Voice, previous_text: str, attempt: Attempt
    ) -> AsyncGenerator[SpeechPiece, None]:
        asked: dict[str, Any] = {
            "text": text,
            "model_id": voice.model,
            "output_format": self._settings.output_format,
            "voice_settings": VoiceSettings(
                stability=voice.stability,
                similarity_boost=voice.similarity_boost,
                style=voice.style,
                use_speaker_boost=voice.use_speaker_boost,
                speed=voice.speed,
            ),
            # The vendor takes ISO 639-1, the first part of a BCP-47 code.
            "language_code": voice.language.partition("-")[0].lower() or None,
            "previous_text": None if voice.model in MODELS_WITHOUT_CONTEXT else previous_text or None,
        }
        with _elevenlabs_errors(STAGE, self._settings.output_format):
            if self._tells_times:
                says_something = False
                try:
                    async with aclosing(self._timed(voice, asked)) as pieces:
                        async for piece in pieces:
                            says_something = True
                            yield piece
                except ApiError as error:
                    if error.status_code not in NO_SUCH_CALL:
                        raise
                if says_something:
                    return  # else nothing came that the SDK could read: it leaves out what is no JSON, and tells nobody
            async with aclosing(self._plain(voice, asked)) as pieces:
                async for piece in pieces:
                    self._tells_times = False  # the voice is there, so it was the call that was not
                    yield piece

    async def _timed(self, voice: Voice, asked: dict[str, Any]) -> AsyncGenerator[SpeechPiece, None]:
        decoder, alignment, samples = self._decoder(), Alignment(), 0
        lines = self._client.text_to_speech.stream_with_timestamps(voice.voice_id, **asked)
        async with aclosing(cast(AsyncGenerator[StreamingAudioChunkWithTimestampsResponse, None], lines)):
            async for line in lines:
                pcm = decoder.push(sound_of(line))
                characters = alignment.characters(line, samples / self.rate_hz)
                samples += len(pcm) // 2
                if pcm or characters:
                    yield SpeechPiece(pcm, characters)
        if pcm := decoder.flush():
            yield SpeechPiece(pcm)

    async def _plain(self, voice: Voice, asked: dict[str, Any]) -> AsyncGenerator[SpeechPiece, None]:
        decoder = self._decoder()
        options = RequestOptions(chunk_size=self._settings.bytes_per_s * PIECE_MS // 1000)
        pieces = self._client.text_to_speech.stream(voice.voice_id, **asked, request_options=options)
        async with aclosing(cast(AsyncGenerator[bytes, None], pieces)):
            async for piece in pieces:
                if pcm := decoder.push(piece):
                    yield SpeechPiece(pcm)
        if pcm := decoder.flush():
            yield SpeechPiece(pcm)

    def _decoder(self) -> VoiceDecoder:
        return voice_decoder(self._settings.codec, self._settings.rate_hz)


@dataclass(frozen=True, slots=True)
class _Sentences:
    """A turn's voice, of one request a sentence."""

    speech: ElevenLabsSpeech
    voice: Voice

    def say(self, text: str, previous_text: str) -> AsyncGenerator[SpeechPiece, None]:
        """Stream the voice of `text`."""
        return self.speech.synthesize(text, self.voice, previous_text)


@contextmanager
def _elevenlabs_errors(stage: str, output_format: str = "") -> Iterator[None]:
    """Raise the SDK's errors, and the raw transport errors that it lets through, as EngineError."""
    try:
        yield
    except ApiError as error:
        if error.status_code in (408, 409, 425, 429) or (error.status_code or 500) >= 500:
            raise EngineUnavailable(stage, ENGINE, f"status {error.status_code}") from error
        raise EngineRejected(stage, ENGINE, f"status {error.status_code}") from error
    except httpx.TimeoutException as error:
        raise EngineTimeout(stage, ENGINE, "timed out") from error
    except httpx.HTTPError as error:
        raise EngineUnavailable(stage, ENGINE, type(error).__name__) from error
    except MalformedAudio as error:
        raise EngineRejected(stage, ENGINE, f"the answer is not {output_format}, as asked for: {error}") from error
