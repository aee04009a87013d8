"""Utterances to text."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from avatar_service import clock
from avatar_service.channel import Sender
from avatar_service.engines.base import Transcriber, TranscriptionOptions
from avatar_service.errors import EngineError
from avatar_service.events import Event, Transcript
from avatar_service.media.types import Utterance
from avatar_service.timings import Timings
from avatar_service.tracing import staged


class EarlyTranscript(Protocol):
    """A transcription that was begun before the utterance's end was sure."""

    @property
    def began_s(self) -> float | None:
        """When the engine was asked, on the loop's clock; None if it was not."""

    async def text(self) -> str:
        """What was said. Raises EngineError."""


@staged("transcribe")
async def transcribe(
    utterances: Sequence[Utterance],
    transcriber: Transcriber,
    options: TranscriptionOptions,
    texts: list[str],
    on_failure: Callable[[EngineError], Awaitable[None]],
    timings: Timings,
    out: Sender[Event],
    early: EarlyTranscript | None = None,
) -> str:
    """Return what a turn's utterances said, joined; tell the client each one's transcript and add it to `texts`.

    An utterance that the engine fails on counts as one in which nothing was said. `early` has the last one's text, or
    has used up its attempts. Timed is the last one's transcription alone.
    """
    for number, utterance in enumerate(utterances, 1):
        begun = early if number == len(utterances) else None
        began_s = begun.began_s if begun else clock.now()
        try:
            text = await _text(utterance, begun, transcriber, options)
        except EngineError as error:
            text = ""
            await on_failure(error)
        if number == len(utterances) and began_s is not None:
            timings.mark("transcription_started", at_s=began_s)
            timings.mark("transcribed")
        await out.send(Transcript(utterance.utterance_id, text, utterance.start_s, utterance.end_s))
        texts.append(text)
    return " ".join(filter(None, texts))


async def _text(
    utterance: Utterance, early: EarlyTranscript | None, transcriber: Transcriber, options: TranscriptionOptions
) -> str:
    if early:
        return (await early.text()).strip()
    return (await transcriber.transcribe(utterance, options)).strip()
