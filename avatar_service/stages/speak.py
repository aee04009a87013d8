"""Sentences to voice, cut into chunks of one frame's time each, for outputs of any sample rate."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from math import ceil

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.engines.base import SpeechContext, SpeechSynthesizer, Voice
from avatar_service.errors import EngineError
from avatar_service.media.heard import Spoken
from avatar_service.media.resample import Resampler
from avatar_service.media.timeline import ChunkCutter, Timeline
from avatar_service.media.types import SpeechChunk
from avatar_service.timings import Timings

CUTS = 2
"""How often the voice of one sentence may break off and be asked for again: with the first request three attempts, as
many as a call is given before its first output."""
PIECE_S = 0.04
"""Longest piece that one output gets before the others: with more, a full channel could keep the others waiting."""


@dataclass(frozen=True, slots=True)
class SpeechOutput:
    """Where a turn's voice goes, at the rate and the frame rate of `timeline`.

    `delay_s` is by how much its encoding will delay the voice: at least as much silence follows the voice's end.
    """

    channel: Channel[SpeechChunk]
    timeline: Timeline
    delay_s: float = 0.0


class VoiceFork:
    """Sends one voice to several outputs, each resampled to its rate and cut into chunks.

    Every output gets the same number of chunks, and chunk k of each is the same frame's time: how many there are
    follows from the voice as it came, not from its rounded copies. All outputs have the same frame rate.
    """

    def __init__(self, rate_hz: int, outputs: Sequence[SpeechOutput]) -> None:
        """`rate_hz` is the rate of the voice that is pushed. Raises ValueError where frame rates differ."""
        frame_rates = {output.timeline.fps for output in outputs}
        if len(frame_rates) != 1:
            raise ValueError(f"all outputs of a voice need the same frame rate, not {sorted(frame_rates)}")
        self._timeline = Timeline(rate_hz, frame_rates.pop())
        self._ways = [
            (output.channel, Resampler(rate_hz, output.timeline.rate_hz), ChunkCutter(output.timeline))
            for output in outputs
        ]
        self._tail = ceil(max(output.delay_s for output in outputs) * rate_hz)
        self._piece = 2 * int(rate_hz * PIECE_S)
        self._received = 0

    @property
    def received_s(self) -> float:
        """Seconds of voice that have come in."""
        return self._received / self._timeline.rate_hz

    async def push(self, pcm: bytes) -> None:
        """Send on the next piece of voice: mono 16-bit PCM, whole samples."""
        self._received += len(pcm) // 2
        for begin in range(0, len(pcm), self._piece):
            for channel, resampler, cutter in self._ways:
                await _send(cutter.push(resampler.push(pcm[begin : begin + self._piece])), channel)

    async def finish(self) -> None:
        """Send what was held back, the last chunk padded with silence to a whole frame. No voice makes no chunk."""
        chunks = self._timeline.frames_covering(self._received + self._tail) if self._received else 0
        for channel, resampler, cutter in self._ways:
            await _send(cutter.push(resampler.flush()), channel)
            await _send(cutter.finish(chunks), channel)

    def close(self) -> None:
        """Close the outputs' channels."""
        for channel, _, _ in self._ways:
            channel.close()


async def speak(
    sentences: Channel[str],
    synthesizer: SpeechSynthesizer,
    voice: Voice,
    outputs: Sequence[SpeechOutput],
    spoken: Spoken,
    timings: Timings,
    before_sentence: Callable[[], Awaitable[None]],
    on_failure: Callable[[EngineError], Awaitable[None]],
) -> None:
    """Say the sentences one after the other, each chunk to every output; note in `spoken` where each word lies.

    `before_sentence` is awaited before the first voice of a sentence goes out. Where a voice breaks off in a sentence,
    `on_failure` is told and the rest of the sentence is asked for, from the first word that was not said to its end.
    """
    fork = VoiceFork(synthesizer.rate_hz, outputs)
    try:
        async with synthesizer.speaking(voice) as context:
            speaking = _Speaking(context, fork, spoken, timings, before_sentence)
            async for sentence in sentences:
                spoken.begin(sentence, fork.received_s)
                await speaking.say(sentence, on_failure)
        await fork.finish()
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
        before_sentence: Callable[[], Awaitable[None]],
    ) -> None:
        self._context = context
        self._fork = fork
        self._spoken = spoken
        self._timings = timings
        self._before_sentence = before_sentence
        self._previous = ""

    async def say(self, sentence: str, on_failure: Callable[[EngineError], Awaitable[None]]) -> None:
        """Say a sentence. Raises the error of a voice that did not begin, has no times, or broke off too often."""
        before, text, cuts = self._previous, sentence, 0
        while text:
            self._previous = " ".join(filter(None, [before, sentence.removesuffix(text).rstrip()]))
            try:
                await self._say(text)
                text = ""
            except EngineError as error:
                cuts += 1
                if cuts > CUTS or not (error.retryable and self._spoken.has_times):
                    raise
                text = self._spoken.break_off(self._fork.received_s)
                await on_failure(error)
        self._spoken.end(self._fork.received_s)
        self._previous = sentence

    async def _say(self, text: str) -> None:
        fork, timings, is_first = self._fork, self._timings, True
        timings.mark("speech_started")
        async with aclosing(self._context.say(text, self._previous)) as pieces:
            waiting_since_s = clock.now()
            async for piece in pieces:
                timings.mark("first_speech")
                timings.speech_s += clock.now() - waiting_since_s
                self._spoken.align(piece.characters)
                if is_first:
                    await self._before_sentence()
                is_first = False
                await fork.push(piece.pcm)
                waiting_since_s = clock.now()
            timings.speech_s += clock.now() - waiting_since_s


async def _send(chunks: Iterable[tuple[int, bytes]], channel: Channel[SpeechChunk]) -> None:
    for index, pcm in chunks:
        await channel.send(SpeechChunk(index, pcm))
