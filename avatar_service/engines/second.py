"""A second engine in a stage, asked where the first has failed for good, and only before the first output of either:
after it, the user would hear or read things twice.

Both share the stage's budget; the first leaves the second time for at least one attempt.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from avatar_service import clock
from avatar_service.engines import policy
from avatar_service.engines.base import (
    ChatDelta,
    ChatModel,
    ChatOptions,
    Message,
    SpeechContext,
    SpeechPiece,
    SpeechSynthesizer,
    Transcriber,
    TranscriptionOptions,
    Voice,
    VoiceInfo,
)
from avatar_service.errors import EngineError, Fault
from avatar_service.log import get_logger
from avatar_service.media.types import Utterance
from avatar_service.settings import LimitSettings
from avatar_service.watching import watcher

T = TypeVar("T")
log = get_logger(__name__)

SAME_AT_THE_SECOND: Final = frozenset({Fault.BAD_REQUEST, Fault.FILTERED})
"""Faults of what was asked for, which a second engine would find as well: it is not asked."""


@dataclass(frozen=True, slots=True)
class TranscriberWithSecond:
    """Speech to text by two engines. `model` is the second's; empty takes the one that is asked for."""

    first: Transcriber
    second: Transcriber
    engine: str
    limits: LimitSettings
    model: str = ""

    async def transcribe(self, utterance: Utterance, options: TranscriptionOptions) -> str:
        """What was said; empty if nothing was."""
        ends_s = clock.now() + self.limits.stage_s
        try:
            with policy.ending_by(ends_s - _kept_s(self.limits)):
                return await self.first.transcribe(utterance, options)
        except EngineError as error:
            await _fall_back(error, self.engine)
        with policy.ending_by(ends_s):
            return await self.second.transcribe(utterance, replace(options, model=self.model or options.model))


@dataclass(frozen=True, slots=True)
class ChatModelWithSecond:
    """Replies by two engines. `model` is the second's; empty takes the one that is asked for."""

    first: ChatModel
    second: ChatModel
    engine: str
    limits: LimitSettings
    model: str = ""

    def complete(self, messages: Sequence[Message], options: ChatOptions) -> AsyncGenerator[ChatDelta, None]:
        """Stream the reply to the last user message."""
        asked = replace(options, model=self.model or options.model)
        return _of_either(
            lambda: self.first.complete(messages, options),
            lambda: self.second.complete(messages, asked),
            lambda error: _fall_back(error, self.engine),
            self.limits,
        )


@dataclass(frozen=True, slots=True)
class SpeechWithSecond:
    """Text to speech by two engines of one sample rate. Raises ValueError if they have two.

    `voice_id` and `model` are the second's; empty takes those that are asked for. Voices are listed from the first.
    """

    first: SpeechSynthesizer
    second: SpeechSynthesizer
    engine: str
    limits: LimitSettings
    voice_id: str = ""
    model: str = ""

    def __post_init__(self) -> None:
        if self.first.rate_hz != self.second.rate_hz:
            raise ValueError(f"one turn cannot have voices of {self.first.rate_hz} and {self.second.rate_hz} Hz")

    @property
    def rate_hz(self) -> int:
        """Sample rate of everything that either says."""
        return self.first.rate_hz

    @asynccontextmanager
    async def speaking(self, voice: Voice) -> AsyncIterator[SpeechContext]:
        """A turn's voice, of the first engine until that has failed for good, of the second from then on."""
        other = replace(voice, voice_id=self.voice_id or voice.voice_id, model=self.model or voice.model)
        async with self.first.speaking(voice) as first, self.second.speaking(other) as second:
            yield _Voices(first, second, self.engine, self.limits)

    async def voices(self) -> Sequence[VoiceInfo]:
        """The first engine's voices."""
        return await self.first.voices()


@dataclass(slots=True)
class _Voices:
    """One turn's voice by two engines: it changes at most once, since each change is heard."""

    first: SpeechContext
    second: SpeechContext
    engine: str
    limits: LimitSettings
    _changed: bool = field(default=False, init=False)

    def say(self, text: str, previous_text: str) -> AsyncGenerator[SpeechPiece, None]:
        """Stream the voice of `text`."""
        if self._changed:
            return self.second.say(text, previous_text)
        return _of_either(
            lambda: self.first.say(text, previous_text),
            lambda: self.second.say(text, previous_text),
            self._change,
            self.limits,
        )

    async def _change(self, error: EngineError) -> None:
        await _fall_back(error, self.engine)
        self._changed = True


async def _of_either(
    first: Callable[[], AsyncGenerator[T, None]],
    second: Callable[[], AsyncGenerator[T, None]],
    fall_back: Callable[[EngineError], Awaitable[None]],
    limits: LimitSettings,
) -> AsyncGenerator[T, None]:
    """The outputs of `first`, or of `second` where that fails before its first output and `fall_back` lets it pass."""
    ends_s = clock.now() + limits.stage_s
    async with aclosing(first()) as outputs:
        try:
            begun = await _begun(outputs, ends_s - _kept_s(limits))
        except EngineError as error:
            await fall_back(error)
        else:
            for output in begun:
                yield output
            async for output in outputs:
                yield output
            return
    async with aclosing(second()) as outputs:
        for output in await _begun(outputs, ends_s):
            yield output
        async for output in outputs:
            yield output


async def _begun(outputs: AsyncGenerator[T, None], ends_s: float) -> tuple[T, ...]:
    """The first output, alone, asked for with no more time than until `ends_s`; none of an empty stream."""
    try:
        with policy.ending_by(ends_s):
            return (await anext(outputs),)
    except StopAsyncIteration:
        return ()


async def _fall_back(error: EngineError, engine: str) -> None:
    """Tell that `engine` is asked instead. Raises `error` where that would not help."""
    if error.fault in SAME_AT_THE_SECOND:
        raise error
    log.warning("fell_back", stage=error.stage, engine=error.engine, fault=error.fault.value, to=engine)
    if told := watcher():
        await told.falling_back(error, engine)


def _kept_s(limits: LimitSettings) -> float:
    """What of the stage's budget is the second engine's, in seconds."""
    return min(limits.first_output_s, limits.stage_s / 2)
