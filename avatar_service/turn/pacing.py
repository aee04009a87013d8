"""Packets to the client, no further ahead of play-out than the lead.

Without this a fast turn would sit in network buffers for seconds, and an interruption could not take it back. Unpaced
turns are for callers who want exactly that: the media as a file.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterable

from avatar_service import metrics
from avatar_service.channel import Sender
from avatar_service.events import Event, Media, Notice, ReplyFinished, State, StateChanged
from avatar_service.media.types import Packet, SpeechChunk
from avatar_service.turn.turn import Turn

LATE_S = 10.0
"""How much later than expected a client may report the end of play-out before the turn ends anyway."""

SLACK_S = 1e-6
"""Waits shorter than this are rounding errors of the clock."""


async def pace(packets: AsyncIterable[Packet], turn: Turn, out: Sender[Event]) -> None:
    """Send a turn's media in time, and say when the last was sent."""
    starved, chunks_in_a_second = False, turn.timeline.chunks_in(1000)
    async for packet in packets:
        if isinstance(packet, SpeechChunk):
            if not packet.index:
                await out.send(StateChanged(State.SPEAKING, turn.turn_id))
            await _wait_for_lead(turn, packet.index)
            turn.play_out.sent(turn.timeline.offset_s(packet.index + 1))
            if not (turn.media.unpaced or packet.index % chunks_in_a_second):
                metrics.LEAD.observe(turn.play_out.lead_s)
            if turn.play_out.stalls and not starved:
                starved = True
                await out.send(Notice("SPEECH_STARVED", "The voice comes more slowly than it is played.", turn.turn_id))
        await out.send(Media(turn.turn_id, packet))
        turn.timings.mark("first_audio_sent" if isinstance(packet, SpeechChunk) else "first_frame_sent")
    if turn.play_out.sent_s:
        await out.send(ReplyFinished(turn.turn_id, turn.play_out.sent_s))


async def until_played(turn: Turn) -> None:
    """Wait until everything sent has been played; reports may move that moment, but not for ever."""
    if turn.media.unpaced:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(turn.play_out.lead_s + LATE_S):
            while (remaining_s := turn.play_out.lead_s) > SLACK_S:
                await asyncio.sleep(remaining_s)


async def _wait_for_lead(turn: Turn, index: int) -> None:
    """Wait until chunk `index` may be sent."""
    if turn.media.unpaced:
        return
    end_s = turn.timeline.offset_s(index + 1)
    while turn.play_out.sent_s and (too_early_s := end_s - turn.play_out.position_s - turn.media.lead_s) > SLACK_S:
        if turn.play_out.lead_s <= 0:
            return
        await asyncio.sleep(too_early_s)
