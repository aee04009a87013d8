"""What the caller of `Animate` sends of its voice: cut into chunks and into segments, waiting in order.

How the voice was split into messages leaves no trace: the chunks depend on all of it alone.
"""

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.media.timeline import ChunkCutter, Timeline
from avatar_service.media.types import SpeechChunk
from avatar_service.stages.relay import CallerVoice, SegmentBegan, SegmentEnded


class Segments:
    """The first voice after a segment's end begins the next one; ids rise from 1."""

    def __init__(self, timeline: Timeline, buffered_s: float) -> None:
        """At most `buffered_s` seconds of voice wait; then whoever pushes waits too."""
        self.waiting = Channel[CallerVoice]("caller_voice", timeline.chunks_in(round(1000 * buffered_s)))
        self.last_id = 0
        self._timeline = timeline
        self._cutter: ChunkCutter | None = None
        self._samples = 0

    @property
    def open_id(self) -> int:
        """The segment that more voice would belong to; 0 if that would begin a new one."""
        return self.last_id if self._cutter else 0

    async def push(self, pcm: bytes) -> None:
        """Take in voice (mono 16-bit PCM, whole samples), of any length."""
        if self._cutter is None:
            self._cutter, self._samples = ChunkCutter(self._timeline), 0
            self.last_id += 1
            await self.waiting.send(SegmentBegan(self.last_id, clock.now()))
        self._samples += len(pcm) // 2
        await self._send(self._cutter.push(pcm))

    async def end(self) -> None:
        """End the open segment, its last chunk padded with silence to a whole frame; without one do nothing."""
        if self._cutter:
            cutter, self._cutter = self._cutter, None
            await self._send(cutter.finish(self._timeline.frames_covering(self._samples)))
            await self.waiting.send(SegmentEnded())

    async def close(self) -> None:
        """End the open segment, and say that there will be no more."""
        await self.end()
        self.waiting.close()

    async def _send(self, chunks: list[tuple[int, bytes]]) -> None:
        for index, pcm in chunks:
            await self.waiting.send(SpeechChunk(index, pcm))
