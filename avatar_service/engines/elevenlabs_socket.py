"""Text to speech over ElevenLabs' WebSocket: a speaking turn has a connection for itself, and a context on it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote, urlencode

from elevenlabs.environment import ElevenLabsEnvironment

from avatar_service import clock
from avatar_service.engines import policy
from avatar_service.engines.attempt import Attempt
from avatar_service.engines.base import SpeechContext, SpeechPiece, Voice, VoiceInfo
from avatar_service.engines.elevenlabs_connection import STAGE, SocketConnection, SocketContext, SocketMessage
from avatar_service.engines.elevenlabs_pool import ConnectionPool
from avatar_service.engines.elevenlabs_request import language_code, voice_settings
from avatar_service.engines.elevenlabs_sentence import ContextVoice, SentenceVoice, letters
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.engines.vendor import ELEVENLABS, Vendor
from avatar_service.engines.vendor_errors import vendor_errors
from avatar_service.errors import EngineError, EngineUnavailable, Fault
from avatar_service.settings import ElevenLabsSettings, LimitSettings

INACTIVITY_S: Final = 180
"""After how long without a message the vendor shall close, in seconds: its longest. Much more often one is sent."""
KEEP_ALIVE_S: Final = 10.0
"""How often something is sent in silence: half of the 20 s after which the vendor closes, unless told otherwise."""
GENERATION: Final = {"chunk_length_schedule": [120, 160, 250, 290]}
"""After how many characters the vendor speaks what has come, its default; a sentence is flushed as it comes."""
MODELS_WITHOUT_SOCKET: Final = frozenset({"eleven_v3"})
"""Models that the vendor serves over HTTP alone."""


class ElevenLabsSocketSpeech:
    """Says a turn's sentences in one context. Lists voices, and says what has no socket, over HTTP."""

    def __init__(
        self,
        http: ElevenLabsSpeech,
        settings: ElevenLabsSettings,
        limits: LimitSettings,
        vendor: Vendor = ELEVENLABS,
        inactivity_s: int = INACTIVITY_S,
    ) -> None:
        self._http = http
        self.settings = settings
        self.limits = limits
        self.vendor = vendor
        self._inactivity_s = inactivity_s
        key = settings.api_key.get_secret_value() or "none"
        self.pool = ConnectionPool(key, vendor, limits.connect_s, min(KEEP_ALIVE_S, inactivity_s / 2))
        self._address = self.address(Voice(settings.voice_id, settings.model))
        """Where the latest turn has spoken: the best guess of where the next one will."""

    async def __aenter__(self) -> Self:
        await self.pool.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.pool.__aexit__(kind, error, trace)

    @property
    def rate_hz(self) -> int:
        """Sample rate of the configured output format, decoded."""
        return self.settings.rate_hz

    @asynccontextmanager
    async def speaking(self, voice: Voice) -> AsyncIterator[SpeechContext]:
        """A turn's voice, in one context."""
        if voice.model in MODELS_WITHOUT_SOCKET:
            async with self._http.speaking(voice) as sentences:
                yield sentences
            return
        self._address = self.address(voice)
        turn = _Turn(self, voice, self._address)
        try:
            yield turn
        except asyncio.CancelledError:
            turn.leave()  # a barge-in says nothing about the connection
            raise
        finally:
            turn.end()

    async def voices(self) -> Sequence[VoiceInfo]:
        """The voices of the account, by name; at most five minutes old. Raises EngineError."""
        return await self._http.voices()

    async def open_connection(self) -> None:
        """Open a connection for the next turn, unless one is free. Raises EngineError."""
        address = self._address
        connection = self.pool.free(address) or await self.pool.open(address)
        self.pool.leave(address, connection)

    def address(self, voice: Voice) -> str:
        """Where a voice is served, with what a connection says in one way only."""
        base_url = self.settings.base_url or ElevenLabsEnvironment.PRODUCTION.value
        asked = {
            "model_id": voice.model,
            "output_format": self.settings.output_format,
            "language_code": language_code(voice),
            "seed": self.settings.seed,
            "inactivity_timeout": self._inactivity_s,
            "sync_alignment": "true",
        }
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        path = f"/v1/text-to-speech/{quote(voice.voice_id, safe='')}/multi-stream-input"
        return f"ws{base_url[len('http') :].rstrip('/')}{path}?{query}"  # http becomes ws, and https wss


class _Turn:
    """A turn's voice. Its connection is taken when the first sentence comes, and changed where a voice broke off."""

    def __init__(self, speech: ElevenLabsSocketSpeech, voice: Voice, address: str) -> None:
        self._speech = speech
        self._model = voice.model
        self._first = {"voice_settings": voice_settings(voice), "generation_config": GENERATION}
        self._address = address
        self._connection: SocketConnection | None = None
        self._context: SocketContext | None = None
        self._spoken = ContextVoice()
        self._is_saying = False
        """Whether a sentence has begun and not ended: what still comes of it must not be taken for the next one."""
        self._is_broken = False
        """Whether the last sentence ended with an error, or because its time was over."""

    def say(self, text: str, previous_text: str) -> AsyncGenerator[SpeechPiece, None]:
        """Stream the voice of `text`; the vendor knows what was said before it."""
        del previous_text
        if not letters(text):
            return _nothing()
        engine = self._speech.vendor.engine
        return policy.stream(STAGE, engine, lambda attempt: self._attempt(text, attempt), self._speech.limits)

    def end(self) -> None:
        """The turn is over."""
        if self._is_broken:
            self._give_up()
        self.leave()

    def leave(self) -> None:
        """Leave the connection to the next turn."""
        if self._connection is not None:
            self._speech.pool.leave(self._address, self._connection)
        self._connection = self._context = None

    def _give_up(self) -> None:
        """The connection has failed, or stalled: close it."""
        if self._connection is not None:
            self._speech.pool.discard(self._connection)
        self._connection = self._context = None

    async def _attempt(self, text: str, attempt: Attempt) -> AsyncGenerator[SpeechPiece, None]:
        attempt.asks(self._model, self._address)
        try:
            with vendor_errors(STAGE, self._speech.vendor):
                context, message = await self._begin(text)
                attempt.identified(self._connection.request_id if self._connection else None)
                async with aclosing(self._pieces(context, message, text, attempt)) as pieces:
                    async for piece in pieces:
                        yield piece
            self._is_saying = False
        except (EngineError, asyncio.CancelledError):
            self._is_broken = True
            raise

    async def _begin(self, text: str) -> tuple[SocketContext, SocketMessage | None]:
        """Have a text spoken, and wait for what comes first."""
        connection = self._reused_connection()
        self._is_saying = True
        if connection is not None:
            try:
                return await self._first_message(connection, text)
            except EngineError as error:
                if error.fault is not Fault.CONNECTION:
                    raise
                # The vendor may close what was silent for long, and just now: that is no failed attempt.
                self._give_up()
        connection = self._connection = await self._speech.pool.open(self._address)
        return await self._first_message(connection, text)

    def _reused_connection(self) -> SocketConnection | None:
        """The turn's connection, or a free one; none after a failure, since others may have failed with it."""
        was_broken, self._is_broken = self._is_broken, False
        if was_broken or (self._connection and self._connection.is_gone):
            self._give_up()
        elif self._connection and self._is_saying:
            self._connection.close_context()
            self._context = None
        if not was_broken:
            self._connection = self._connection or self._speech.pool.free(self._address)
        return self._connection

    async def _first_message(
        self, connection: SocketConnection, text: str
    ) -> tuple[SocketContext, SocketMessage | None]:
        if self._context is None or not self._context.drop():
            self._context, self._spoken = connection.open_context(self._first), ContextVoice()
        self._context.say(text)
        return self._context, await self._context.next(None)

    async def _pieces(
        self, context: SocketContext, message: SocketMessage | None, text: str, attempt: Attempt
    ) -> AsyncGenerator[SpeechPiece, None]:
        """The voice of a text, from its first message on."""
        speech = self._speech
        sentence = SentenceVoice(text, speech.settings, self._spoken, speech.limits.between_outputs_s / 2)
        waited_s = 0.0
        while message is not None:
            attempt.received(len(message.sound))
            if piece := sentence.take(message, waited_s):
                yield piece
            if sentence.is_endless:
                raise EngineUnavailable(STAGE, speech.vendor.engine, "speaks without end", Fault.MALFORMED)
            if message.is_final:
                self._context = None
                break
            began_s = clock.now()
            try:
                message = await context.next(sentence.wait_s)
            except EngineError:
                if not sentence.is_whole:
                    raise
                message = None
            waited_s = clock.now() - began_s
        if piece := sentence.finish():
            yield piece
        if not sentence.has_sound:
            raise EngineUnavailable(STAGE, speech.vendor.engine, "says nothing", Fault.MALFORMED)


async def _nothing() -> AsyncGenerator[SpeechPiece, None]:
    """The voice of a text without letters, such as a smile: the vendor would send nothing, not even an end."""
    return
    yield  # makes it a generator
