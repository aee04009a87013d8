"""Text to speech by ElevenLabs' streaming API, or any server that speaks it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import httpx2
from elevenlabs import VoiceSettings
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.core.request_options import RequestOptions
from elevenlabs.environment import ElevenLabsEnvironment

from avatar_service import clock
from avatar_service.engines import policy
from avatar_service.engines.attempt import Attempt
from avatar_service.engines.base import SpeechContext, SpeechPiece, Voice, VoiceInfo
from avatar_service.engines.elevenlabs_answers import STAGE, NoLines, SentenceSound, check_sound, lines_of
from avatar_service.engines.elevenlabs_request import language_code, voice_settings
from avatar_service.engines.elevenlabs_sentence import letters
from avatar_service.engines.elevenlabs_voices import list_voices
from avatar_service.engines.httpx_bridge import BridgedTransport
from avatar_service.engines.vendor import ELEVENLABS, Vendor
from avatar_service.engines.vendor_errors import vendor_errors
from avatar_service.engines.warm_connections import STAGE as WARM_STAGE
from avatar_service.errors import EngineTimeout
from avatar_service.media.voice_stream import voice_decoder
from avatar_service.settings import ElevenLabsSettings, LimitSettings

VOICES_STAGE = "list_voices"
PIECE_MS = 20
"""Length of the pieces that the SDK passes on. Its own 1,024 bytes would hold back a slow first sound for longer."""
KEPT_ALIVE_S = 120.0
"""How long an idle connection is kept; httpx's 5 s would cost a new TLS handshake in almost every turn."""
MODELS_WITHOUT_CONTEXT = "eleven_v3"
"""How the names of models begin with which the vendor refuses a request that carries the text before."""
NO_SUCH_CALL = (404, 405, 501)
"""Statuses by which a server says that it does not have a call; 404 may be a voice that it does not have, too."""
VOICES_KEPT_S = 300.0
"""How old the list of voices may be."""


class ElevenLabsSpeech:
    """Says one sentence a request, and decodes whatever format the vendor was asked for."""

    def __init__(self, settings: ElevenLabsSettings, limits: LimitSettings, vendor: Vendor = ELEVENLABS) -> None:
        timeout = httpx.Timeout(settings.timeout_s, connect=limits.connect_s)
        connections = BridgedTransport(httpx2.Limits(max_connections=1000, keepalive_expiry=KEPT_ALIVE_S))
        self._http = httpx.AsyncClient(timeout=timeout, transport=connections)
        self._api_key = settings.api_key.get_secret_value() or "none"
        self._base_url = settings.base_url or ElevenLabsEnvironment.PRODUCTION.value
        self._client = AsyncElevenLabs(api_key=self._api_key, base_url=self._base_url, httpx_client=self._http)
        self._settings = settings
        self._limits = limits
        self._vendor = vendor
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
        if not letters(text):
            return _nothing()
        return policy.stream(
            STAGE, self._vendor.engine, lambda attempt: self._attempt(text, voice, previous_text, attempt), self._limits
        )

    async def voices(self) -> Sequence[VoiceInfo]:
        """The voices of the account, by name; at most five minutes old. Raises EngineError."""
        try:
            async with asyncio.timeout(self._limits.stage_s), self._listing:  # another call may wait for the vendor
                if clock.now() >= self._voices_until_s:
                    limit_s, engine = self._limits.first_output_s, self._vendor.engine
                    self._voices = await policy.call(VOICES_STAGE, engine, self._list_voices, self._limits, limit_s)
                    self._voices_until_s = clock.now() + VOICES_KEPT_S
        except TimeoutError as error:
            message = f"no list within {self._limits.stage_s:g} s"
            raise EngineTimeout(VOICES_STAGE, self._vendor.engine, message) from error
        return self._voices

    async def open_connection(self) -> None:
        """Ask for the list of models, which costs nothing, to have a connection open. Raises EngineError."""
        with vendor_errors(WARM_STAGE, self._vendor):
            await self._http.get(f"{self._base_url}/v1/models", headers={"xi-api-key": self._api_key})

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _list_voices(self, attempt: Attempt) -> tuple[VoiceInfo, ...]:
        with vendor_errors(VOICES_STAGE, self._vendor):
            return tuple(await list_voices(self._client))

    async def _attempt(
        self, text: str, voice: Voice, previous_text: str, attempt: Attempt
    ) -> AsyncGenerator[SpeechPiece, None]:
        attempt.asks(voice.model, self._base_url)
        asked = self._asked(text, voice, previous_text)
        with vendor_errors(STAGE, self._vendor):
            if self._tells_times:
                try:
                    async with aclosing(self._timed(voice, asked, attempt)) as pieces:
                        async for piece in pieces:
                            yield piece
                    return
                except NoLines:
                    pass
                except ApiError as error:
                    if error.status_code not in NO_SUCH_CALL:
                        raise
            async with aclosing(self._plain(voice, asked, attempt)) as pieces:
                async for piece in pieces:
                    self._tells_times = False  # the voice is there, so it was the call that was not
                    yield piece

    def _asked(self, text: str, voice: Voice, previous_text: str) -> dict[str, Any]:
        """The parameters of a request; what is None is left to the vendor."""
        asked = {
            "text": text,
            "model_id": voice.model,
            "output_format": self._settings.output_format,
            "voice_settings": VoiceSettings.model_validate(voice_settings(voice)),
            "language_code": language_code(voice),
            "seed": self._settings.seed,
            "previous_text": None if voice.model.startswith(MODELS_WITHOUT_CONTEXT) else previous_text or None,
        }
        return {name: value for name, value in asked.items() if value is not None}

    async def _timed(self, voice: Voice, asked: dict[str, Any], attempt: Attempt) -> AsyncGenerator[SpeechPiece, None]:
        """The voice of the call that tells times. Raises NoLines where the server does not have it."""
        sound = self._sound(asked)
        calls = self._client.text_to_speech.with_raw_response
        async with calls.stream_with_timestamps(voice.voice_id, **asked) as answer:
            attempt.identified(answer.headers.get("request-id"))
            data = answer._response.aiter_bytes()  # what the SDK makes of lines leaves out those that it cannot read
            async with aclosing(lines_of(data, answer.headers, self._vendor)) as lines:
                async for line in lines:
                    size, piece = sound.line(line)
                    attempt.received(size)
                    if piece.pcm or piece.characters:
                        yield piece
            if (piece := sound.end()).pcm:
                yield piece

    async def _plain(self, voice: Voice, asked: dict[str, Any], attempt: Attempt) -> AsyncGenerator[SpeechPiece, None]:
        sound = self._sound(asked)
        options = RequestOptions(chunk_size=self._settings.bytes_per_s * PIECE_MS // 1000)
        calls = self._client.text_to_speech.with_raw_response
        async with calls.stream(voice.voice_id, **asked, request_options=options) as answer:
            attempt.identified(answer.headers.get("request-id"))
            check_sound(answer.headers, self._vendor)
            async for data in answer.data:
                attempt.received(len(data))
                if (piece := sound.bare(data)).pcm:
                    yield piece
            if (piece := sound.end()).pcm:
                yield piece

    def _sound(self, asked: dict[str, Any]) -> SentenceSound:
        decoder = voice_decoder(self._settings.codec, self._settings.rate_hz)
        return SentenceSound(asked["text"], decoder, self._settings.rate_hz, self._vendor)


@dataclass(frozen=True, slots=True)
class _Sentences:
    """A turn's voice, of one request a sentence."""

    speech: ElevenLabsSpeech
    voice: Voice

    def say(self, text: str, previous_text: str) -> AsyncGenerator[SpeechPiece, None]:
        """Stream the voice of `text`."""
        return self.speech.synthesize(text, self.voice, previous_text)


async def _nothing() -> AsyncGenerator[SpeechPiece, None]:
    """The voice of a text without letters, such as a smile: vendors may have none for it."""
    return
    yield  # makes it a generator
