"""Utterances to text."""

from collections.abc import Awaitable, Callable, Sequence

from avatar_service.channel import Sender
from avatar_service.engines.base import Transcriber, TranscriptionOptions
from avatar_service.errors import EngineError
from avatar_service.events import Event, Transcript
from avatar_service.media.types import Utterance
from avatar_service.timings import Timings


async def transcribe(
    utterances: Sequence[Utterance],
    transcriber: Transcriber,
    options: TranscriptionOptions,
    texts: list[str],
    on_failure: Callable[[EngineError], Awaitable[None]],
    timings: Timings,
    out: Sender[Event],
) -> str:
    """Return what a turn's utterances said, joined; tell the client each one's transcript and add it to `texts`.

    An utterance that the engine fails on counts as one in which nothing was said.
    """
    timings.mark("transcription_started")
    for utterance in utterances:
        try:
            text = (await transcriber.transcribe(utterance, options)).strip()
        except EngineError as error:
            text = ""
            await on_failure(error)
        await out.send(Transcript(utterance.utterance_id, text, utterance.start_s, utterance.end_s))
        texts.append(text)
    timings.mark("transcribed")
    return " ".join(filter(None, texts))
