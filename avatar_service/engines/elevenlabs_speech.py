"""Text to speech by ElevenLabs' streaming API, or any server that speaks it."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import cast

import httpx
from elevenlabs import VoiceSettings
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError

from avatar_service import clock
from avatar_service.engines import policy
from avatar_service.engines.base import Voice, VoiceInfo
from avatar_service.engines.elevenlabs_voices import list_voices
from avatar_service.errors import EngineRejected, EngineTimeout, EngineUnavailable
from avatar_service.media.voice_stream import voice_decoder
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
VOICES_KEPT_S = 300.0
"""How old the list of voices may be."""


class ElevenLabsSpeech:
    """Says one sentence a request, and decodes whatever format the vendor was asked for."""

    def __init__(self, settings: ElevenLabsSettings, limits: LimitSettings) -> None:
        timeout = httpx.Timeout(settings.timeout_s, connect=limits.connect_s)
        self._http = httpx.AsyncClient(
            timeout=timeout, limits=httpx.Limits(max_connections=1000, keepalive_expiry=KEPT_ALIVE_S)
        )
        self._client = AsyncElevenLabs(
            api_key=settings.api_key.get_secret_value() or "none",
            base_url=settings.base_url or None,
            httpx_client=self._http,
        )
        self._settings = settings
        self._limits = limits
        self._listing = asyncio.Lock()
        self._voices: tuple[VoiceInfo, ...] = ()
        self._voices_until_s = 0.0

    @property
    def rate_hz(self) -> int:
        """Sample rate of the configured output format, decoded."""
        return self._settings.rate_hz

    def synthesize(self, text: str, voice: Voice, previous_text: str) -> AsyncGenerator[bytes, None]:
        """Stream `text` as mono 16-bit PCM in whole samples."""
        return policy.stream(STAGE, ENGINE, lambda: self._attempt(text, voice, previous_text), self._limits)

    async def voices(self) -> Sequence[VoiceInfo]:
        """The voices of the account, by name; at most five minutes old. Raises EngineError."""
        async with self._listing:
            if clock.now() >= self._voices_until_s:
                limit_s = self._limits.first_output_s
                self._voices = await policy.call(VOICES_STAGE, ENGINE, self._list_voices, self._limits, limit_s)
                self._voices_until_s = clock.now() + VOICES_KEPT_S
        return self._voices

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _list_voices(self) -> tuple[VoiceInfo, ...]:
        with _elevenlabs_errors(VOICES_STAGE):
            try:
                return tuple(await list_voices(self._client))
            except (AttributeError, TypeError) as error:
                # The SDK builds its objects from whatever came, without checking it.
                raise EngineRejected(VOICES_STAGE, ENGINE, "the answer is no list of voices") from error

    async def _attempt(self, text: str, voice: Voice, previous_text: str) -> AsyncGenerator[bytes, None]:
        decoder = voice_decoder(self._settings.codec, self._settings.rate_hz)
        with _elevenlabs_errors(STAGE, self._settings.output_format):
            pieces = self._client.text_to_speech.stream(
                voice.voice_id,
                text=text,
                model_id=voice.model,
                output_format=self._settings.output_format,
                voice_settings=VoiceSettings(
                    stability=voice.stability,
                    similarity_boost=voice.similarity_boost,
                    style=voice.style,
                    use_speaker_boost=voice.use_speaker_boost,
                    speed=voice.speed,
                ),
                language_code=voice.language or None,
                previous_text=None if voice.model in MODELS_WITHOUT_CONTEXT else previous_text or None,
                request_options={"chunk_size": self._settings.bytes_per_s * PIECE_MS // 1000},
            )
            async with aclosing(cast(AsyncGenerator[bytes, None], pieces)):
                async for piece in pieces:
                    if pcm := decoder.push(piece):
                        yield pcm
            if pcm := decoder.flush():
                yield pcm


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
