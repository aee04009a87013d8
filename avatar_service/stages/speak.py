"""Sentences to voice, also where the engine breaks off in one, or fails for good."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Protocol

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.engines.base import SpeechContext, SpeechSynthesizer, Voice
from avatar_service.errors import EngineError
from avatar_service.media.heard import Spoken
from avatar_service.stages.voice_fork import SpeechOutput, VoiceFork
from avatar_service.timings import Timings
from avatar_service.tracing import staged

HELD_S = 1.0
"""Longest beginning of a word that is held back until the word is whole; longer than any word lasts."""


class Listener(Protocol):
    """Is told what becomes of a turn's voice."""

    async def before_sentence(self) -> None:
        """The first voice of a sentence, or of its rest, is about to go out, once this returns."""

    async def broke_off(self, error: EngineError) -> None:
        """The voice broke off in a sentence; the rest of it is asked for."""

    async def lost(self, error: EngineError) -> None:
        """No more voice will come."""


@staged("speak")
async def speak(
    sentences: Channel[str],
    synthesizer: SpeechSynthesizer,
    voice: Voice,
    outputs: Sequence[SpeechOutput],
    spoken: Spoken,
    timings: Timings,
    listener: Listener,
    attempts: int,
) -> None:
    """Say the sentences one after the other, each chunk to every output; note in `spoken` where each word lies.

    Where a voice breaks off in a sentence, its rest is asked for, in at most `attempts` requests for the sentence.
    Where it fails for good, what there is of it is sent to its end, and the sentences that follow are dropped.
    """
    fork = VoiceFork(synthesizer.rate_hz, outputs)
    try:
        async with synthesizer.speaking(voice) as context:
            speaking = _Speaking(context, fork, spoken, timings, listener, attempts)
            async for sentence in sentences:
                spoken.begin(sentence, fork.received_s)
                await speaking.say(sentence)
        await fork.finish()
    except EngineError as error:
        spoken.lose(fork.received_s)
        await listener.lost(error)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fork.finish())  # may wait for play-out, for which the reply's text must not wait
            async for _ in sentences:
                pass
    finally:
        fork.close()


class _Speaking:
    """Says one text after the other into a fork."""

    def __init__(
        self,
        context: SpeechContext,
        fork: VoiceFork,
        spoken: Spoken,
        timings: Timings,
        listener: Listener,
        attempts: int,
    ) -> None:
        self._context = context
        self._fork = fork
        self._spoken = spoken
        self._timings = timings
        self._listener = listener
        self._attempts = attempts
        self._previous = ""
        self._held = bytearray()
        self._has_begun = False

    async def say(self, sentence: str) -> None:
        """Say a sentence. Raises the error of a voice that did not begin, or broke off too often."""
        before, text, requests = self._previous, sentence, 0
        while text:
            self._previous = " ".join(filter(None, [before, sentence.removesuffix(text).rstrip()]))
            requests += 1
            try:
                await self._say(text)
                break
            except EngineError as error:
                if not (self._has_begun and error.retryable and requests < self._attempts):
                    raise
                text = self._spoken.break_off(self._fork.received_s)
                if text:
                    await self._listener.broke_off(error)
        self._spoken.end(self._fork.received_s)
        self._previous = sentence

    async def _say(self, text: str) -> None:
        timings, self._has_begun = self._timings, False
        timings.mark("speech_started")
        self._held.clear()
        async with aclosing(self._context.say(text, self._previous)) as pieces:
            waiting_since_s = clock.now()
            async for piece in pieces:
                timings.mark("first_speech")
                timings.speech_s += clock.now() - waiting_since_s
                self._spoken.align(piece.characters)
                if not self._has_begun:
                    await self._listener.before_sentence()
                self._has_begun = True
                await self._pass_on(piece.pcm)
                waiting_since_s = clock.now()
            timings.speech_s += clock.now() - waiting_since_s
        await self._fork.push(bytes(self._held))

    async def _pass_on(self, pcm: bytes) -> None:
        """Send voice on, as far as nobody waits for it in whole words: of one that breaks off nothing is then heard,
        and it can be said again."""
        self._held += pcm
        came_s = self._fork.received_s + self._fork.seconds(len(self._held))
        size = len(self._held)
        if self._fork.is_fed and size <= self._fork.size(HELD_S):
            whole_s = self._spoken.whole_s(came_s)
            size = min(size, self._fork.size(max(0.0, whole_s - self._fork.received_s)))
        await self._fork.push(bytes(self._held[:size]))
        del self._held[:size]
