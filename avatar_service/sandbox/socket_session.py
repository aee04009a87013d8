"""One conversation on a WebSocket of ElevenLabs's: text in pieces in, speech with character times out.

One task listens: it checks messages and decides what is spoken when. One task speaks it, in order. Between them is a
short queue: a caller who sends faster than the voice speaks is read no further.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final

from avatar_service.sandbox.auth import is_same_key
from avatar_service.sandbox.elevenlabs_request import SpeechStyle, speed_of
from avatar_service.sandbox.fault_content import FaultySpeech
from avatar_service.sandbox.fault_kinds import InjectedFault
from avatar_service.sandbox.hibari import SpeakingModel
from avatar_service.sandbox.pacing import Drip, hold_first_byte
from avatar_service.sandbox.settings import SandboxSettings
from avatar_service.sandbox.socket_messages import ClientMessage, SocketRefusal, parse_message
from avatar_service.sandbox.sockets import Socket
from avatar_service.sandbox.speaking import Speaker
from avatar_service.sandbox.text_buffer import DEFAULT_SCHEDULE, TextBuffer
from avatar_service.sandbox.timed_speech import TimedChunk, join_pieces, socket_alignment, timed_chunks
from avatar_service.sandbox.worker import Worker

MAX_CONTEXTS: Final = 5
"""The vendor's own limit for one connection."""

_DEFAULT_CONTEXT: Final = "default"
_QUEUED_GENERATIONS: Final = 4


@dataclass(frozen=True, slots=True)
class Connection:
    """What a handshake settles. ``key`` is what the first message must carry; None if the handshake had it.

    ``fault`` is what is wrong with the speech, if anything.
    """

    style: SpeechStyle
    inactivity_s: float
    auto: bool
    speech_rate: float | None
    is_multi: bool
    key: str | None
    fault: InjectedFault | None


@dataclass(slots=True, eq=False)
class _Context:
    """One stream of speech."""

    name: str
    voice_settings: Mapping[str, Any] | None
    schedule: tuple[float, ...]
    buffer: TextBuffer
    speaker: Speaker
    faulty: FaultySpeech
    drip: Drip
    heard_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class _Generation:
    """A text to be spoken. ``last`` leaves nothing of it in the encoder, ``final`` ends the context."""

    context: _Context
    text: str
    last: bool
    final: bool
    asked_s: float


class SocketSession:
    """The conversation; ``run`` is its whole life."""

    def __init__(
        self,
        socket: Socket,
        connection: Connection,
        hibari: Worker[SpeakingModel],
        settings: SandboxSettings,
        figures: dict[str, float],
    ) -> None:
        self._socket = socket
        self._connection = connection
        self._hibari = hibari
        self._settings = settings
        self._figures = figures
        self._contexts: dict[str, _Context] = {}
        self._key = connection.key
        self._generations: asyncio.Queue[_Generation | None] = asyncio.Queue(_QUEUED_GENERATIONS)

    async def run(self) -> None:
        """Listen and speak until the caller has ended its text and has heard all of it.

        Raises a group with ``SocketRefusal``, ``VendorError``, ``WorkerError`` or ``ConnectionError`` (the caller has
        hung up).
        """
        self._figures.update(audio_s=0.0, model_s=0.0)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._speak_all())
            tasks.create_task(self._listen())

    # Listening

    async def _listen(self) -> None:
        heard_s = time.monotonic()
        while True:
            message = await self._receive(heard_s)
            if message is None:
                continue
            heard_s = time.monotonic()
            self._check_key(message)
            take = self._take_multi if self._connection.is_multi else self._take_single
            if not await take(message):
                break
        await self._generations.put(None)

    async def _receive(self, heard_s: float) -> ClientMessage | None:
        """Return the next message; None if a context ended for lack of text. Raises if the connection did."""
        oldest_s = min((context.heard_s for context in self._contexts.values()), default=heard_s)
        until_s = oldest_s + self._connection.inactivity_s
        try:
            data = await self._socket.receive(max(0.0, until_s - time.monotonic()))
        except TimeoutError:
            if not self._connection.is_multi or not self._contexts:
                raise _timed_out(self._connection.inactivity_s) from None
            for context in [context for context in self._contexts.values() if context.heard_s <= oldest_s]:
                await self._end(context, context.buffer.flush())
            return None
        return parse_message(data)

    def _check_key(self, message: ClientMessage) -> None:
        """Refuse a first message without the right key, if the handshake had none."""
        if self._key is None:
            return
        if message.key is None:
            raise SocketRefusal(
                "needs_authorization", "Neither authorization header nor xi-api-key received, please provide one."
            )
        if not is_same_key(message.key, self._key):
            raise SocketRefusal("invalid_api_key", "Invalid API key")
        self._key = None

    async def _take_single(self, message: ClientMessage) -> bool:
        """Take a message on a connection with one context; False once the text has ended."""
        if message.text is None:
            raise SocketRefusal("invalid_input_message", "A message must have a text.")
        context = self._context(_DEFAULT_CONTEXT, message)
        if message.text:
            await self._add(context, message)
        else:
            await self._end(context, context.buffer.flush())
        return bool(message.text)

    async def _take_multi(self, message: ClientMessage) -> bool:
        """Take a message on a connection with many contexts; False once the caller closes it."""
        name = message.context_id or _DEFAULT_CONTEXT
        if message.close_socket:
            for context in list(self._contexts.values()):
                await self._end(context, context.buffer.flush())
        elif message.close_context:
            if name in self._contexts:
                await self._end(self._contexts[name], "")
        elif name in self._contexts or message.text:
            context = self._context(name, message)
            if message.text or message.flush:  # an empty text keeps the context alive
                await self._add(context, message)
        return not message.close_socket

    def _context(self, name: str, message: ClientMessage) -> _Context:
        """Return the context, made by its first message; later ones may not change its settings."""
        context = self._contexts.get(name)
        if context is None:
            if len(self._contexts) >= MAX_CONTEXTS:
                raise _too_many_contexts()
            context = self._new_context(name, message)
            self._contexts[name] = context
        elif message.voice_settings not in (None, context.voice_settings):
            raise SocketRefusal("invalid_voice_settings", "voice_settings can only be set in the first message.")
        elif message.schedule not in (None, context.schedule):
            raise SocketRefusal("invalid_generation_config", "generation_config can only be set in the first message.")
        context.heard_s = time.monotonic()
        return context

    def _new_context(self, name: str, message: ClientMessage) -> _Context:
        connection = self._connection
        style = replace(connection.style, speed=speed_of(message.voice_settings))
        schedule = message.schedule or DEFAULT_SCHEDULE
        return _Context(
            name=name,
            voice_settings=message.voice_settings,
            schedule=schedule,
            buffer=TextBuffer(schedule, auto=connection.auto),
            speaker=Speaker(self._hibari, style, self._settings.deadline_s),
            faulty=FaultySpeech(connection.fault),
            drip=Drip(connection.speech_rate),
        )

    async def _add(self, context: _Context, message: ClientMessage) -> None:
        """Add a message's text to the context's and have spoken what is due."""
        text = message.text or ""
        if len(context.buffer) + len(text) > self._settings.max_text_chars:
            limit = self._settings.max_text_chars
            raise SocketRefusal("max_character_limit_exceeded", f"More than {limit} characters wait to be spoken.")
        text = context.buffer.add(text, try_trigger=message.try_trigger)
        if message.flush:
            text += context.buffer.flush()
        if text or message.flush:
            await self._generations.put(_Generation(context, text, message.flush, False, time.monotonic()))

    async def _end(self, context: _Context, text: str) -> None:
        """Have a context's last text spoken and end it."""
        del self._contexts[context.name]
        await self._generations.put(_Generation(context, text, True, True, time.monotonic()))

    # Speaking

    async def _speak_all(self) -> None:
        while (generation := await self._generations.get()) is not None:
            context = generation.context
            async with aclosing(self._chunks(generation)) as chunks:
                async for chunk in chunks:
                    await hold_first_byte(generation.asked_s, self._settings.speech_delay_s)
                    await context.drip.until_due(chunk.start_s)
                    await self._socket.send(self._message(context, chunk))
            if generation.final:
                await self._socket.send(self._message(context, None))
        await self._socket.close()

    async def _chunks(self, generation: _Generation) -> AsyncGenerator[TimedChunk, None]:
        """Yield the speech of one generation."""
        speaker = generation.context.speaker
        before_s = speaker.duration_s
        if generation.text.strip():
            spoken = generation.context.faulty.of(speaker.speak(generation.text, last=generation.last))
            async with aclosing(spoken) as sentences:
                async for sentence in sentences:
                    self._figures["model_s"] += sentence.model_s
                    for chunk in timed_chunks(sentence):
                        yield chunk
        elif generation.last and (pieces := await speaker.end()):
            yield join_pieces(pieces)
        self._figures["audio_s"] += speaker.duration_s - before_s

    def _message(self, context: _Context, chunk: TimedChunk | None) -> dict[str, Any]:
        """Return the message of a chunk; of None the one that ends the context."""
        body: dict[str, Any] = {"audio": None, "isFinal": True, "normalizedAlignment": None, "alignment": None}
        if chunk is not None:
            body = {
                "audio": chunk.audio_base64,
                "isFinal": None,
                "normalizedAlignment": socket_alignment(chunk.read, chunk.start_s),
                "alignment": socket_alignment(chunk.written, chunk.start_s),
            }
        return body | {"contextId": context.name} if self._connection.is_multi else body


def _timed_out(inactivity_s: float) -> SocketRefusal:
    return SocketRefusal(
        "input_timeout_exceeded",
        f"Have not received a new text input within the timeout of {inactivity_s:g} seconds. Streaming input "
        "terminated. Please make sure to either feed the input in the timely manner, or to send the end of input text "
        '(empty string "") when done.',
    )


def _too_many_contexts() -> SocketRefusal:
    return SocketRefusal(
        "max_active_conversations",
        f"Maximum simultaneous contexts per WebSocket connection exceeded ({MAX_CONTEXTS}). Please close an existing "
        "context before opening a new one.",
    )
