"""Text to encoded speech: one sentence after another, each made by the voice model in its thread."""

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

import numpy as np

from avatar_service.sandbox.alignment import Alignment
from avatar_service.sandbox.elevenlabs_request import SpeechStyle
from avatar_service.sandbox.hibari import RATE_HZ, Manner, SpeakingModel, Speech
from avatar_service.sandbox.reading import Sentence
from avatar_service.sandbox.speech_encoding import SpeechEncoder, SpeechPiece
from avatar_service.sandbox.worker import Worker


@dataclass(frozen=True, slots=True)
class SpokenSentence:
    """One sentence as it leaves, its times counted from the beginning of the stream.

    ``model_s`` is what it took, waiting for the model included.
    """

    pieces: list[SpeechPiece]
    written: Alignment
    read: Alignment
    model_s: float


class Speaker:
    """Speaks texts one after another. Used by one task at a time."""

    def __init__(self, hibari: Worker[SpeakingModel], style: SpeechStyle, deadline_s: float) -> None:
        self._hibari = hibari
        self._style = style
        self._deadline_s = deadline_s
        self._encoder: SpeechEncoder | None = None
        self._begin_s = 0.0  # where the encoder's stream begins in all speech so far
        self._spoken = 0

    @property
    def duration_s(self) -> float:
        """Seconds of speech so far."""
        return self._begin_s + (self._encoder.duration_s if self._encoder else 0.0)

    async def speak(self, text: str, *, last: bool) -> AsyncGenerator[SpokenSentence, None]:
        """Yield the sentences of a text; one is one task of the model, so that requests take turns.

        ``last`` ends the encoded stream, so that nothing of the text is held back; what is spoken after it is a stream
        of its own.
        """
        started_s = time.monotonic()
        sentences = await self._hibari.run(lambda voice, _: voice.read(text), deadline_s=self._deadline_s)
        for number, sentence in enumerate(sentences):
            yield await self._speak(sentence, started_s, last=last and number + 1 == len(sentences))
            started_s = time.monotonic()

    async def end(self) -> list[SpeechPiece]:
        """End the encoded stream and return what was held back."""
        encoder = self._encoder
        if encoder is None:
            return []
        pieces = await self._hibari.run(
            lambda _, __: encoder.encode(np.zeros(0, np.float32), last=True), deadline_s=self._deadline_s
        )
        return self._taken(encoder, pieces, last=True)

    async def _speak(self, sentence: Sentence, started_s: float, *, last: bool) -> SpokenSentence:
        """Speak one sentence; the noise of each is its own, so that equal sentences differ as they do in life."""
        style, voice = self._style, self._style.voice
        # Played slower, speech is lower; made faster by as much, it keeps its tempo.
        manner = Manner(style.speed * voice.tempo / voice.pitch, voice.intonation, style.seed + self._spoken)
        encoder = self._encoder or SpeechEncoder(
            style.output_format, RATE_HZ * voice.pitch, goes_on=self._begin_s > 0.0
        )
        self._encoder = encoder
        self._spoken += 1
        begin_s = self._begin_s + encoder.source_s

        def work(model: SpeakingModel, _: object) -> tuple[Speech, list[SpeechPiece]]:
            speech = model.speak(sentence, manner)
            return speech, encoder.encode(speech.samples, last=last)

        speech, pieces = await self._hibari.run(work, deadline_s=self._deadline_s)
        pieces = self._taken(encoder, pieces, last=last)
        written, read = (times.scaled(1.0 / voice.pitch, begin_s) for times in (speech.written, speech.read))
        return SpokenSentence(pieces, written, read, time.monotonic() - started_s)

    def _taken(self, encoder: SpeechEncoder, pieces: list[SpeechPiece], *, last: bool) -> list[SpeechPiece]:
        """Return pieces of the encoder's stream with times in all speech so far."""
        begin_s = self._begin_s
        if last:
            self._begin_s += encoder.duration_s
            self._encoder = None
        return [replace(piece, start_s=begin_s + piece.start_s, end_s=begin_s + piece.end_s) for piece in pieces]
