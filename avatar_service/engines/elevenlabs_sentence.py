"""The voice of one sentence out of a context's messages on the socket, and where it ends.

The vendor does not tell where a sentence ends, only where a context does. A sentence's voice is over

* when its context is (`isFinal`),
* when all its letters and digits have their times, the sound of the last one has come, and nothing comes for a
  short while (`TAIL_S`),
* when the server tells no times at all, or times that the sound does not reach, and nothing comes for `QUIET_S`.

In any other silence the vendor is late, and the limits of every call apply.
"""

from dataclasses import dataclass, field
from typing import Final

from avatar_service.engines.base import SpeechPiece
from avatar_service.engines.elevenlabs_alignment import BACK_S, Alignment
from avatar_service.engines.elevenlabs_connection import SocketMessage
from avatar_service.media.types import SpokenCharacter
from avatar_service.media.voice_stream import voice_decoder
from avatar_service.settings import ElevenLabsSettings

TAIL_S: Final = 0.15
"""How long to wait for more once a whole sentence is there, at least; twice as long as for any message before."""
QUIET_S: Final = 2.0
"""After how long without a message a sentence is over where its times do not tell."""
LONGEST_S: Final = 10.0
LONGEST_CHARACTER_S: Final = 0.5
"""A voice longer than `LONGEST_S` and this for each character does not end; slow speech takes 0.1 s a character."""
LONGEST_REST_S: Final = 3.0
"""Longest sound behind the last character of a text, whose time the server tells: silence, or a breath."""
TIMES_LATE: Final = 1.25
"""By how much slower than its times a voice may be: servers without an alignment of their own estimate them."""


@dataclass(slots=True)
class ContextVoice:
    """The voice of a context so far: its samples, and the one clock of all its times."""

    samples: int = 0
    alignment: Alignment = field(default_factory=Alignment)


class SentenceVoice:
    """Decodes a sentence's messages as they come; times count from its own first sample."""

    def __init__(self, text: str, settings: ElevenLabsSettings, context: ContextVoice, quiet_s: float) -> None:
        self._rate_hz = rate_hz = settings.rate_hz
        self._decoder = voice_decoder(settings.codec, rate_hz)
        self._context = context
        self._quiet_s = min(QUIET_S, quiet_s)
        self._longest = round((LONGEST_S + LONGEST_CHARACTER_S * len(text)) * rate_hz)
        self._begin = context.samples
        self._letters = letters(text)
        self._timed_letters = 0
        self._waiting: list[SpokenCharacter] = []
        self._longest_wait_s = 0.0
        context.alignment.pause()

    @property
    def has_sound(self) -> bool:
        """Whether any of its voice has come."""
        return self._context.samples > self._begin

    @property
    def is_endless(self) -> bool:
        """Whether more has come than anybody says in so many characters, or than the times of all of them leave."""
        return self._context.samples - self._begin > self._longest

    @property
    def is_whole(self) -> bool:
        """Whether all its letters have their times, and the sound of the last one has come."""
        has_come = self._context.alignment.end_s <= self._context.samples / self._rate_hz + BACK_S
        return self.has_sound and has_come and self._timed_letters >= self._letters

    @property
    def wait_s(self) -> float | None:
        """How long to wait for more before it is over; None as long as more must come."""
        if self.is_whole:
            return min(self._quiet_s / 2, max(TAIL_S, 2 * self._longest_wait_s))
        all_or_none = not 0 < self._timed_letters < self._letters
        return self._quiet_s if self.has_sound and all_or_none else None

    def take(self, message: SocketMessage, waited_s: float) -> SpeechPiece | None:
        """The voice that is complete with a message for which was waited so long. Raises MalformedAudio."""
        context = self._context
        if self.has_sound:  # before it the vendor has just begun
            self._longest_wait_s = max(self._longest_wait_s, waited_s)
        self._waiting += context.alignment.place(message.timed, context.samples / self._rate_hz)
        self._timed_letters += sum(letters(one.text) for one in message.timed)
        if self._timed_letters >= self._letters:
            said_s = context.alignment.end_s - self._begin / self._rate_hz
            self._longest = min(self._longest, round((said_s * TIMES_LATE + LONGEST_REST_S) * self._rate_hz))
        return self._piece(self._decoder.push(message.sound))

    def finish(self) -> SpeechPiece | None:
        """The rest, after the last message."""
        return self._piece(self._decoder.flush())

    def _piece(self, pcm: bytes) -> SpeechPiece | None:
        if not pcm:
            return None
        begin_s = self._begin / self._rate_hz
        characters = tuple(
            SpokenCharacter(one.text, max(0.0, one.start_s - begin_s), max(0.0, one.end_s - begin_s))
            for one in self._waiting
        )
        self._waiting.clear()
        self._context.samples += len(pcm) // 2
        return SpeechPiece(pcm, characters)


def letters(text: str) -> int:
    """How many letters and digits a text has: all else may be missing in what the vendor tells of it."""
    return sum(character.isalnum() for character in text)
