"""Voice and frames to packets in play-out order, each chunk of voice before its frame.

Audio is the master. It waits for a turn's first frame, since starting together matters most; later it waits only
while the client has enough media in hand. A frame that comes late goes out if it can still be shown, else it is dropped
and the client holds the one before. In an unpaced turn nothing is late: each chunk waits for its frame.
"""

import asyncio
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

    def __init__(self, timeline: Timeline, play_out: PlayOut, frames: Channel[Frame], packets: Channel[Packet]) -> None:
        self._timeline = timeline
        self._play_out = play_out
        self._frames = frames
        self._packets = packets
        self._next: Frame | None = None
        self._video_ended = False
        self.interleaving = Interleaving()

    async def interleave(self, audio: Channel[SpeechChunk]) -> None:
        """Send packets until voice and frames have ended."""
        try:
            async for chunk in audio:
                await self._wait_for_frame(chunk.index, until_s=self._patience(chunk.index))
                await self._packets.send(chunk)
                self.interleaving.due += 1
                await self._send_frame(chunk.index)
            total = self.interleaving.due
            await self._wait_for_frame(total, until_s=self._play_out.reaches_at(self._timeline.offset_s(total)))
        finally:
            self._packets.close()

    def _patience(self, index: int) -> float | None:
        """Until when chunk `index` waits for its frame; None without limit."""
        due_at_s = self._play_out.reaches_at(self._timeline.offset_s(index))
        if due_at_s is None:
            return None
        return due_at_s - SAFE_LEAD_S if index else clock.now() + FIRST_FRAME_WAIT_S

    async def _wait_for_frame(self, index: int, until_s: float | None) -> None:
        """Have frame `index` at hand if it comes in time; those before it are late and go out at once."""
        while await self._receive(until_s) and self._next and self._next.index < index:
            await self._send_frame(self._next.index)

    async def _send_frame(self, index: int) -> None:
        """Send the frame at hand if it is `index` and can still be shown."""
        if self._next is None or self._next.index != index:
            return
        frame, self._next = self._next, None
        if not self._play_out.is_over(self._timeline.offset_s(frame.index + 1)):
            self.interleaving.sent += 1
            await self._packets.send(frame)

    async def _receive(self, until_s: float | None) -> bool:
        """Have a frame at hand; false if none comes in time, or none will come."""
        if self._next or self._video_ended:
            return self._next is not None
        try:
            async with asyncio.timeout_at(until_s):
                self._next = await anext(self._frames)
        except TimeoutError:
            return False
        except StopAsyncIteration:
            self._video_ended = True
            return False
        return True
