"""Packets to the client, no further ahead of play-out than the lead.

Without this a fast turn would sit in network buffers for seconds, and an interruption could not take it back. Unpaced
turns are for callers who want exactly that: the media as a file.

To a client that reads too slowly frames are shed, so that its voice goes on: frames are most of the bytes, and a
picture that stands is less of a loss than a voice that stumbles.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterable

from avatar_service import clock, metrics
from avatar_service.channel import Sender
from avatar_service.errors import ReaderTooSlow
from avatar_service.events import Event, Media, Notice, ReplyFinished, State, StateChanged
from avatar_service.media.play_out import SLACK_S, TIMER_S
from avatar_service.media.types import Frame, Packet, SpeechChunk
from avatar_service.turn.captions import Captions
from avatar_service.turn.turn import Turn

LATE_S = 10.0
"""How much later than expected a client may report the end of play-out before the turn ends anyway."""
READER_STALL_S = 10.0
"""How long a client may read nothing, or report no progress while media wait, before its stream ends."""
SHED_AFTER_S = 0.5
"""How long the next event may wait for the writer before frames are shed. That wait is the one sign of a slow reader
that every client gives: a healthy stream's is about a millisecond, also while a turn's first second is sent at once.
Longer than a busy event loop stands still; half of the usual lead, so that the voice still comes in time."""


async def pace(packets: AsyncIterable[Packet], turn: Turn, out: Sender[Event]) -> None:
    """Send a turn's media in time, and say when the last was sent.

    Raises ReaderTooSlow where the client's reports stand still for too long while media wait.
    """
    pacing = _Pacing(turn, out)
    async for packet in packets:
        if isinstance(packet, SpeechChunk):
            await pacing.send_chunk(packet)
        else:
            await pacing.send_frame(packet)
    await pacing.captions.rest()
    if turn.play_out.sent_s:
        await out.send(ReplyFinished(turn.turn_id, turn.play_out.sent_s))


async def until_played(turn: Turn) -> None:
    """Wait until everything sent has been played; reports may move that moment, but not for ever."""
    play_out = turn.play_out
    if turn.media.unpaced:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(play_out.lead_s + LATE_S):
            while (remaining_s := play_out.lead_s) > SLACK_S and not play_out.is_stopped:
                await play_out.next_report(math.inf if play_out.stands else remaining_s)
    play_out.finish()


class _Pacing:
    """One turn's media on their way out."""

    def __init__(self, turn: Turn, out: Sender[Event]) -> None:
        self._turn = turn
        self._out = out
        self._timeline = turn.timeline
        self._second = self._timeline.chunks_in(1000)
        self._now = clock.reader()
        self._is_starved = False
        self.captions = Captions(turn, out)

    async def send_chunk(self, chunk: SpeechChunk) -> None:
        """Send a piece of voice as soon as the lead allows."""
        turn, play_out = self._turn, self._turn.play_out
        if not chunk.index:
            turn.begin()
            await self._out.send(StateChanged(State.SPEAKING, turn.turn_id))
        end_s = self._timeline.offset_s(chunk.index + 1)
        await self._wait_for_lead(end_s)
        play_out.sent(end_s)
        if not (turn.media.unpaced or chunk.index % self._second):
            metrics.LEAD.observe(play_out.lead_s)
        if play_out.stalls and not self._is_starved:
            self._is_starved = True
            message = "The voice comes more slowly than it is played."
            await self._out.send(Notice("SPEECH_STARVED", message, turn.turn_id))
        await self.captions.until(end_s)
        await self._send(chunk)
        turn.timings.mark("first_audio_sent")

    async def send_frame(self, frame: Frame) -> None:
        """Send a frame, unless the client reads too slowly. It is not encoded yet, so none depends on it."""
        turn = self._turn
        if turn.media.unpaced or self._out.waiting_s <= SHED_AFTER_S:
            await self._send(frame)
            turn.timings.mark("first_frame_sent")
            return
        turn.frames_shed += 1
        if turn.frames_shed == 1:
            message = "The client reads too slowly: frames are left out, the voice is not."
            await self._out.send(Notice("FRAMES_SHED", message, turn.turn_id))

    async def _send(self, packet: Packet) -> None:
        await self._out.send(Media(self._turn.turn_id, packet))
        self._turn.play_out.resume()

    async def _wait_for_lead(self, end_s: float) -> None:
        """Wait until media that end at `end_s` may be sent. Raises ReaderTooSlow."""
        turn, play_out = self._turn, self._turn.play_out
        if turn.media.unpaced:
            return
        began_s = self._now()
        while play_out.sent_s and (too_early_s := end_s - play_out.position_s - turn.media.lead_s) > TIMER_S:
            if play_out.lead_s <= 0:
                return
            left_s = math.inf
            if play_out.is_reported:
                left_s = max(play_out.moved_at_s, began_s) + READER_STALL_S - self._now()
            if left_s <= 0:
                raise ReaderTooSlow(f"nothing was played for {READER_STALL_S:g} s while media waited")
            await play_out.next_report(min(left_s, math.inf if play_out.stands else too_early_s))
