"""One text spoken, top to bottom."""

from avatar_service.channel import Sender
from avatar_service.engines.base import Engines, Voice
from avatar_service.events import Event
from avatar_service.stages.speak import speak
from avatar_service.stages.split import split
from avatar_service.stages.think import recite
from avatar_service.turn.capacities import text_channels
from avatar_service.turn.delivery import Delivery
from avatar_service.turn.running import run_stages
from avatar_service.turn.turn import Turn
from avatar_service.turn.voicing import Voicing


async def speak_text(turn: Turn, voice: Voice, engines: Engines, out: Sender[Event]) -> None:
    """Say the turn's text with voice and lip-synced video, in step; return when the last media are sent."""
    deltas, sentences = text_channels()
    delivery = Delivery(turn, engines.speech.rate_hz, engines.lip_sync, out)

    await run_stages(
        recite(turn.user_input.text, deltas, turn.reply, turn.turn_id, out),
        split(deltas, sentences),
        speak(
            sentences,
            engines.speech,
            voice,
            delivery.outputs,
            turn.spoken,
            turn.timings,
            Voicing(turn, out),
            engines.attempts,
        ),
        delivery.deliver(),
    )
    turn.require_voice()
