"""What becomes of a turn's voice, for its client and for whoever keeps the turn."""

from avatar_service.channel import Sender
from avatar_service.errors import EngineError
from avatar_service.events import Event
from avatar_service.turn.degrading import degrading
from avatar_service.turn.turn import Turn


class Voicing:
    """Listens to `stages.speak` for one turn."""

    def __init__(self, turn: Turn, out: Sender[Event]) -> None:
        self._turn = turn
        self._tell_cut = degrading(turn, out, "RETRYING", "The voice broke off within a sentence, and goes on.")
        self._tell_lost = degrading(turn, out, "SPEECH_FAILED", "The voice has failed: no more of it will come.")

    async def before_sentence(self) -> None:
        """Save what is about to be heard: who resumes the turn must know of it."""
        await self._turn.keep()

    async def broke_off(self, error: EngineError) -> None:
        """Count it and tell it; the turn is degraded."""
        self._turn.retries += 1
        await self._tell_cut(error)

    async def lost(self, error: EngineError) -> None:
        """Tell it at once; the turn fails when all that was written and spoken has been delivered."""
        self._turn.voice_lost = error
        await self._tell_lost(error)
