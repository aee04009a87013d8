"""One `Speak` call: a session of one turn, whose words the caller gives."""

from avatar_service.channel import Sender
from avatar_service.engines.base import Engines, Voice
from avatar_service.events import Event, Source
from avatar_service.log import bound_contextvars
from avatar_service.turn.account import account
from avatar_service.turn.degrading import TurnWatcher
from avatar_service.turn.speak import speak_text
from avatar_service.turn.traced import traced
from avatar_service.turn.turn import MediaSettings, Turn, UserInput
from avatar_service.watching import watched


async def speak_once(text: str, voice: Voice, media: MediaSettings, engines: Engines, out: Sender[Event]) -> None:
    """Say a text and tell how that went."""
    turn = Turn(1, UserInput(Source.SAY, text=text), media)
    turn.timings.mark("speech_ended")
    turn.timings.mark("turn_started")
    with bound_contextvars(turn_id=turn.turn_id), watched(TurnWatcher(turn, out)):
        failure = await traced(turn, speak_text(turn, voice, engines, out))
        completed = turn.completed(failure=failure)
        account(turn, completed)
        await out.send(completed)
