"""Sentences to voice, cut into chunks of one frame's time each."""

from collections.abc import Iterable, Sequence
from contextlib import aclosing

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.engines.base import SpeechSynthesizer, Voice
from avatar_service.media.heard import SpokenSentence, estimated
from avatar_service.media.timeline import ChunkCutter, Timeline
from avatar_service.media.types import SpeechChunk
from avatar_service.timings import Timings


async def speak(
    sentences: Channel[str],
    synthesizer: SpeechSynthesizer,
    voice: Voice,
    timeline: Timeline,
    outputs: Sequence[Channel[SpeechChunk]],
    spoken: list[SpokenSentence],
    timings: Timings,
) -> None:
    """Say the sentences one after the other, each chunk to every output; note in `spoken` where each one lies."""
    cutter = ChunkCutter(timeline)
    bytes_per_s = 2 * timeline.rate_hz
    received = 0
    try:
        async for sentence in sentences:
            start_s = received / bytes_per_s
            previous = spoken[-1].text if spoken else ""
            spoken.append(estimated(sentence, start_s))
            timings.mark("speech_started")
            async with aclosing(synthesizer.synthesize(sentence, voice, previous)) as pieces:
                waiting_since_s = clock.now()
                async for pcm in pieces:
                    timings.mark("first_speech")
                    timings.speech_s += clock.now() - waiting_since_s
                    received += len(pcm)
                    await _send(cutter.push(pcm), outputs)
                    waiting_since_s = clock.now()
                timings.speech_s += clock.now() - waiting_since_s
            spoken[-1] = SpokenSentence(sentence, start_s, received / bytes_per_s)
        await _send(cutter.flush(), outputs)
    finally:
        for output in outputs:
            output.close()


async def _send(chunks: Iterable[tuple[int, bytes]], outputs: Sequence[Channel[SpeechChunk]]) -> None:
    for index, pcm in chunks:
        for output in outputs:
            await output.send(SpeechChunk(index, pcm))
