"""Sentences to voice, cut into chunks of one frame's time each, for outputs of any sample rate."""

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from math import ceil

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.engines.base import SpeechSynthesizer, Voice
from avatar_service.media.heard import SpokenSentence, estimated
from avatar_service.media.resample import Resampler
from avatar_service.media.timeline import ChunkCutter, Timeline
from avatar_service.media.types import SpeechChunk
from avatar_service.timings import Timings

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
    spoken: list[SpokenSentence],
    timings: Timings,
) -> None:
    """Say the sentences one after the other, each chunk to every output; note in `spoken` where each one lies."""
    fork = VoiceFork(synthesizer.rate_hz, outputs)
    try:
        async for sentence in sentences:
            start_s = fork.received_s
            previous = spoken[-1].text if spoken else ""
            spoken.append(estimated(sentence, start_s))
            timings.mark("speech_started")
            async with aclosing(synthesizer.synthesize(sentence, voice, previous)) as pieces:
                waiting_since_s = clock.now()
                async for pcm in pieces:
                    timings.mark("first_speech")
                    timings.speech_s += clock.now() - waiting_since_s
                    await fork.push(pcm)
                    waiting_since_s = clock.now()
                timings.speech_s += clock.now() - waiting_since_s
            spoken[-1] = SpokenSentence(sentence, start_s, fork.received_s)
        await fork.finish()
    finally:
        fork.close()


async def _send(chunks: Iterable[tuple[int, bytes]], channel: Channel[SpeechChunk]) -> None:
    for index, pcm in chunks:
        await channel.send(SpeechChunk(index, pcm))
