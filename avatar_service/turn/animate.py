"""One segment of the caller's own voice animated, top to bottom."""

from avatar_service.channel import Channel, Sender
from avatar_service.engines.base import LipSync
from avatar_service.events import Event
from avatar_service.stages.relay import HEAD_START_MS, CallerVoice, relay
from avatar_service.turn.delivery import Delivery
from avatar_service.turn.pacing import until_played
from avatar_service.turn.running import run_stages
from avatar_service.turn.turn import Turn


async def animate_segment(turn: Turn, voice: Channel[CallerVoice], lip_sync: LipSync, out: Sender[Event]) -> None:
    """Send the voice back with lip-synced video, in step, up to the segment's end; return when it has been played."""
    delivery = Delivery(turn, turn.media.rate_hz, lip_sync, out)
    head_start = 0 if turn.media.unpaced else turn.timeline.chunks_in(HEAD_START_MS)

    await run_stages(
        relay(voice, delivery.audio, delivery.to_animate, turn.play_out, head_start),
        delivery.deliver(),
    )
    await until_played(turn)
