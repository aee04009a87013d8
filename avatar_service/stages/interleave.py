"""Voice and frames to packets in play-out order, each chunk of voice before its frame.

Audio is the master. It waits for a turn's first frame, since starting together matters most; later it waits only
while the client has enough media in hand. A frame that comes late goes out if it can still be shown, else it is dropped
and the client holds the one before. In an unpaced turn nothing is late: each chunk waits for its frame.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.media.play_out import PlayOut
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import Frame, Packet, SpeechChunk

FIRST_FRAME_WAIT_S = 0.3
"""Longest that a turn's first sound waits for its frame."""
SAFE_LEAD_S = 0.2
"""Lead under which audio waits no more for a frame."""


@dataclass(slots=True)
class Interleaving:
    """What became of a turn's frames: those due so far, and those sent."""

    due: int = 0
    sent: int = 0

    @property
    def held(self) -> int:
        """Frames in whose place the client held the one before."""
        return self.due - self.sent


class Interleaver:
    """Joins one turn's voice and frames."""

    def __init__(self, timeline: Timeline, play_out: PlayOut, frames: Channel[Frame]) -> None:
        self._timeline = timeline
        self._play_out = play_out
        self._frames = frames
        self._next: Frame | None = None
        self._video_ended = False
        self.interleaving = Interleaving()

    async def packets(self, audio: Channel[SpeechChunk]) -> AsyncGenerator[Packet, None]:
        """The packets, until voice and frames have ended. Each is decided on when it is asked for."""
        async for chunk in audio:
            while await self._has_frame(chunk.index) and self._is_late(chunk.index):
                if frame := self._take_frame():
                    yield frame
            yield chunk
            self.interleaving.due += 1
            if self._next and self._next.index == chunk.index and (frame := self._take_frame()):
                yield frame
        while await self._has_frame(None):
            if frame := self._take_frame():
                yield frame

    def _is_late(self, index: int) -> bool:
        """Whether the frame at hand lies before frame `index`."""
        return self._next is not None and self._next.index < index

    def _take_frame(self) -> Frame | None:
        """The frame at hand, if it can still be shown."""
        frame, self._next = self._next, None
        if frame is None or self._play_out.is_over(self._timeline.offset_s(frame.index + 1)):
            return None
        self.interleaving.sent += 1
        return frame

    async def _has_frame(self, chunk: int | None) -> bool:
        """Have a frame at hand, waiting as long as this chunk may; false if none comes in time, or none will come."""
        self._next = self._next or self._frames.take()
        if self._next or self._video_ended:
            return self._next is not None
        try:
            async with asyncio.timeout_at(self._patience(chunk)):
                self._next = await anext(self._frames)
        except TimeoutError:
            return False
        except StopAsyncIteration:
            self._video_ended = True
            return False
        return True

    def _patience(self, chunk: int | None) -> float | None:
        """Until when a chunk waits for its frame, or, after the last chunk, the end for a last frame; None without
        limit."""
        last = self.interleaving.due
        due_at_s = self._play_out.reaches_at(self._timeline.offset_s(last if chunk is None else chunk))
        if due_at_s is None or chunk is None:
            return due_at_s
        return due_at_s - SAFE_LEAD_S if chunk else clock.now() + FIRST_FRAME_WAIT_S
