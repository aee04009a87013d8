"""Text to speech by ElevenLabs' streaming API, or any server that speaks it."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import cast

import httpx
from elevenlabs import VoiceSettings
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError

from avatar_service.engines import policy
from avatar_service.engines.base import Voice
from avatar_service.errors import EngineRejected, EngineTimeout, EngineUnavailable
from avatar_service.settings import ElevenLabsSettings, LimitSettings

STAGE = "speak"
ENGINE = "elevenlabs"
PIECE_MS = 20
"""Length of the pieces that the SDK passes on. Its own 1,024 bytes would hold back a slow first sound for longer."""
KEPT_ALIVE_S = 120.0
"""How long an idle connection is kept; httpx's 5 s would cost a new TLS handshake in almost every turn."""


class ElevenLabsSpeech:
    """Says one sentence a request, as raw PCM."""

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
        self._format = settings.output_format
        self._rate_hz = settings.rate_hz
        self._limits = limits

    @property
    def rate_hz(self) -> int:
        """Sample rate of the configured output format."""
        return self._rate_hz

    def synthesize(self, text: str, voice: Voice, previous_text: str) -> AsyncGenerator[bytes, None]:
        """Stream `text` as mono 16-bit PCM in whole samples."""
        return policy.stream(STAGE, ENGINE, lambda: self._attempt(text, voice, previous_text), self._limits)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _attempt(self, text: str, voice: Voice, previous_text: str) -> AsyncGenerator[bytes, None]:
        with _elevenlabs_errors():
            pieces = self._client.text_to_speech.stream(
                voice.voice_id,
                text=text,
                model_id=voice.model,
                output_format=self._format,
                voice_settings=VoiceSettings(
                    stability=voice.stability,
                    similarity_boost=voice.similarity_boost,
                    style=voice.style,
                    use_speaker_boost=voice.use_speaker_boost,
                    speed=voice.speed,
                ),
                language_code=voice.language or None,
                previous_text=previous_text or None,
                request_options={"chunk_size": self._rate_hz * PIECE_MS // 1000 * 2},
            )
            odd = b""
            async with aclosing(cast(AsyncGenerator[bytes, None], pieces)):
                async for piece in pieces:
                    pcm = odd + piece
                    whole = len(pcm) & ~1
                    odd = pcm[whole:]
                    if whole:
                        yield pcm[:whole]


@contextmanager
def _elevenlabs_errors() -> Iterator[None]:
    """Raise the SDK's errors, and the raw transport errors that it lets through, as EngineError."""
    try:
        yield
    except ApiError as error:
        if error.status_code in (408, 409, 425, 429) or (error.status_code or 500) >= 500:
            raise EngineUnavailable(STAGE, ENGINE, f"status {error.status_code}") from error
        raise EngineRejected(STAGE, ENGINE, f"status {error.status_code}") from error
    except httpx.TimeoutException as error:
        raise EngineTimeout(STAGE, ENGINE, "timed out") from error
    except httpx.HTTPError as error:
        raise EngineUnavailable(STAGE, ENGINE, type(error).__name__) from error
