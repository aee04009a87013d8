"""Speech to text that was told beforehand what will be said."""

import asyncio
from dataclasses import dataclass

from avatar_service.engines.base import TranscriptionOptions
from avatar_service.errors import EngineError
from avatar_service.media.types import Utterance
from avatar_service.watching import watcher


@dataclass(frozen=True, slots=True)
class Heard:
    """The answer to one utterance: the text after a delay, or an error; an infinite delay hangs."""

    text: str = "hello"
    delay_s: float = 0.1
    error: EngineError | None = None


class FakeTranscriber:
    """Answers utterance n with the n-th of its script, and all after the last one with the last one."""

    def __init__(self, *script: Heard) -> None:
        self.script = list(script)
        self.utterances: list[Utterance] = []
        self.options: list[TranscriptionOptions] = []
        self.cancelled = 0
        self.failures: list[EngineError] = []
        """What the first requests fail with, whatever the script says."""
        self.retries: list[EngineError] = []
        """What the attempts of the next request fail with before the one that is scripted, each as late as that."""

    async def transcribe(self, utterance: Utterance, options: TranscriptionOptions) -> str:
        """What the script says was said."""
        script = self.script or [Heard()]
        answer = script[min(utterance.utterance_id, len(script)) - 1]
        self.utterances.append(utterance)
        self.options.append(options)
        try:
            await asyncio.sleep(answer.delay_s)
            while self.retries:
                if told := watcher():
                    await told.retrying(self.retries[0])
                del self.retries[0]
                await asyncio.sleep(answer.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failures:
            raise self.failures.pop(0)
        if answer.error:
            raise answer.error
        return answer.text
