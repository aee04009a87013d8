"""One voice to several outputs, each in its sample rate and in chunks of one frame's time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import ceil

from avatar_service.channel import Channel
from avatar_service.media.resample import Resampler
from avatar_service.media.timeline import ChunkCutter, Timeline
from avatar_service.media.types import SpeechChunk

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


class _Copy:
    """A voice at one rate, for all outputs that want it so."""

    def __init__(self, rate_hz: int, timeline: Timeline) -> None:
        self.channels: list[Channel[SpeechChunk]] = []
        self._resampler = Resampler(rate_hz, timeline.rate_hz)
        self._cutter = ChunkCutter(timeline)

    def push(self, pcm: bytes) -> list[SpeechChunk]:
        """The chunks that are complete with this piece."""
        return [SpeechChunk(index, part) for index, part in self._cutter.push(self._resampler.push(pcm))]

    def finish(self, chunks: int) -> list[SpeechChunk]:
        """What is missing of so many chunks."""
        last = [*self._cutter.push(self._resampler.flush()), *self._cutter.finish(chunks)]
        return [SpeechChunk(index, part) for index, part in last]


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
        self._channels = [output.channel for output in outputs]
        copies = {output.timeline: _Copy(rate_hz, output.timeline) for output in outputs}
        for output in outputs:
            copies[output.timeline].channels.append(output.channel)
        self._copies = list(copies.values())
        self._tail = ceil(max(output.delay_s for output in outputs) * rate_hz)
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
        await self._send([copy.push(pcm) for copy in self._copies])

    @property
    def is_fed(self) -> bool:
        """Whether so much voice waits in every output that nobody misses more for a moment."""
        return all(len(channel) >= self._fed for channel in self._channels)

    async def finish(self) -> None:
        """Send what is left, the last chunk padded with silence to a whole frame, and close the outputs' channels. No
        voice makes no chunk."""
        chunks = self._timeline.frames_covering(self._received + self._tail) if self._received else 0
        await self._send([copy.finish(chunks) for copy in self._copies])
        self.close()

    def close(self) -> None:
        """Close the outputs' channels."""
        for channel in self._channels:
            channel.close()

    async def _send(self, cut: Iterable[list[SpeechChunk]]) -> None:
        """Send on the chunks of each copy. One after the other to all outputs: so none that is full keeps another
        waiting for more than a chunk."""
        for chunks in zip_longest(*cut):
            for copy, chunk in zip(self._copies, chunks, strict=True):
                if chunk:
                    for channel in copy.channels:
                        await channel.send(chunk)
