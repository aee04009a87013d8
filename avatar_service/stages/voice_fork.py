"""One voice to several outputs, each in its sample rate and in chunks of one frame's time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from avatar_service.channel import Channel
from avatar_service.media.resample import Resampler
from avatar_service.media.timeline import ChunkCutter, Timeline
from avatar_service.media.types import SpeechChunk

PIECE_S = 0.04
"""Longest piece that one output gets before the others: with more, a full channel could keep the others waiting."""

FED_MS = 300
"""Voice in hand with which an output waits for nothing. With 160 ms, 2 of 72 combinations of pace, piece and rendering
time had frames held while a word was held back; with 320 ms none had."""


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
        self._fed = self._timeline.chunks_in(FED_MS)
        self._received = 0

    @property
    def received_s(self) -> float:
        """Seconds of voice that have come in."""
        return self._received / self._timeline.rate_hz

    def size(self, seconds: float) -> int:
        """How many bytes of the voice last so long."""
        return 2 * round(seconds * self._timeline.rate_hz)

    def seconds(self, size: int) -> float:
        """How long so many bytes of the voice last."""
        return size / 2 / self._timeline.rate_hz

    async def push(self, pcm: bytes) -> None:
        """Send on the next piece of voice: mono 16-bit PCM, whole samples."""
        self._received += len(pcm) // 2
        for begin in range(0, len(pcm), self._piece):
            for channel, resampler, cutter in self._ways:
                await _send(cutter.push(resampler.push(pcm[begin : begin + self._piece])), channel)

    @property
    def is_fed(self) -> bool:
        """Whether so much voice waits in every output that nobody misses more for a moment."""
        return all(len(channel) >= self._fed for channel, _, _ in self._ways)

    async def finish(self) -> None:
        """Send what is left, the last chunk padded with silence to a whole frame, and close the outputs' channels. No
        voice makes no chunk."""
        chunks = self._timeline.frames_covering(self._received + self._tail) if self._received else 0
        for channel, resampler, cutter in self._ways:
            await _send(cutter.push(resampler.flush()), channel)
            await _send(cutter.finish(chunks), channel)
        self.close()

    def close(self) -> None:
        """Close the outputs' channels."""
        for channel, _, _ in self._ways:
            channel.close()


async def _send(chunks: Iterable[tuple[int, bytes]], channel: Channel[SpeechChunk]) -> None:
    for index, pcm in chunks:
        await channel.send(SpeechChunk(index, pcm))
