"""Text to speech whose samples tell which text they belong to and where in it they lie."""

import asyncio
import math
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np

from avatar_service.engines.base import SpeechContext, SpeechPiece, Voice, VoiceInfo
from avatar_service.errors import EngineError
from avatar_service.media.types import SpokenCharacter

VOICES = (
    VoiceInfo("rachel", Voice("rachel", ""), "Rachel", ("en",), "Calm."),
    VoiceInfo("george", Voice("george", "", stability=0.3)),
)


def voice_of(text: str, rate_hz: int = 24_000, seconds_per_character: float = 0.05) -> bytes:
    """The voice that FakeSpeech gives to a text: loud, and different at every sample of every text."""
    samples = round(len(text) * seconds_per_character * rate_hz)
    first = 4096 + zlib.crc32(text.encode()) % 8192
    return (first + np.arange(samples) % 4093).astype("<i2").tobytes()


class FakeSpeech:
    """First bytes after `ttfb_s`, then `rate` seconds of voice a second, in pieces of `piece_ms`.

    With `error` every text that contains `fails_on` fails, `error_after_s` into its voice, at most `fails` times.
    Closing takes `closing_s`. If `aligned`, each character comes with its time, in the piece in which it begins.
    """

    def __init__(
        self,
        *,
        ttfb_s: float = 0.1,
        rate: float = 4.0,
        rate_hz: int = 24_000,
        seconds_per_character: float = 0.05,
        piece_ms: int = 20,
        error: EngineError | None = None,
        fails_on: str = "",
        error_after_s: float = 0.0,
        closing_s: float = 0.0,
        aligned: bool = True,
        fails: int | None = None,
    ) -> None:
        self._ttfb_s = ttfb_s
        self._rate = rate
        self._rate_hz = rate_hz
        self._seconds_per_character = seconds_per_character
        self._piece = 2 * rate_hz * piece_ms // 1000
        self._closing_s = closing_s
        self._error, self._fails_on, self._error_after_s = error, fails_on, error_after_s
        self._aligned = aligned
        self._fails_left = math.inf if fails is None else fails
        self.requests: list[tuple[str, str]] = []
        self.asked_for: list[Voice] = []
        self.running = 0
        self.contexts = 0

    @property
    def rate_hz(self) -> int:
        """Sample rate of the voice."""
        return self._rate_hz

    def voice_of(self, text: str) -> bytes:
        """What it says for a text."""
        return voice_of(text, self._rate_hz, self._seconds_per_character)

    async def voices(self) -> Sequence[VoiceInfo]:
        """Two voices, of which the second has nothing for people to read."""
        return VOICES

    def characters_of(self, text: str, from_s: float = 0.0, to_s: float = math.inf) -> tuple[SpokenCharacter, ...]:
        """The characters of a text that begin in a stretch of its voice."""
        pace_s = self._seconds_per_character
        timed = (SpokenCharacter(one, index * pace_s, (index + 1) * pace_s) for index, one in enumerate(text))
        return tuple(character for character in timed if from_s <= character.start_s + 1e-9 < to_s)

    @asynccontextmanager
    async def speaking(self, voice: Voice) -> AsyncIterator[SpeechContext]:
        """A turn's voice."""
        self.contexts += 1
        try:
            yield _Context(self, voice)
        finally:
            self.contexts -= 1

    async def synthesize(self, text: str, voice: Voice, previous_text: str) -> AsyncGenerator[SpeechPiece, None]:
        """Stream the voice of `text`."""
        self.requests.append((text, previous_text))
        self.asked_for.append(voice)
        self.running += 1
        try:
            await asyncio.sleep(self._ttfb_s)
            pcm = self.voice_of(text)
            fails_at = round(self._error_after_s * 2 * self._rate_hz)
            second = 2 * self._rate_hz
            for begin in range(0, len(pcm), self._piece):
                if self._error and self._fails_on in text and begin >= fails_at and self._fails_left > 0:
                    self._fails_left -= 1
                    raise self._error
                piece = pcm[begin : begin + self._piece]
                await asyncio.sleep(len(piece) / second / self._rate)
                till_s = (begin + len(piece)) / second if begin + len(piece) < len(pcm) else math.inf
                timed = self.characters_of(text, begin / second, till_s) if self._aligned else ()
                yield SpeechPiece(piece, timed)
        finally:
            try:
                await asyncio.sleep(self._closing_s)
            finally:
                self.running -= 1


@dataclass(frozen=True, slots=True)
class _Context:
    speech: FakeSpeech
    voice: Voice

    def say(self, text: str, previous_text: str) -> AsyncGenerator[SpeechPiece, None]:
        return self.speech.synthesize(text, self.voice, previous_text)
