"""What is spoken and when, word by word, for the client's captions."""

import math

from avatar_service.channel import Sender
from avatar_service.events import Event, SpokenText
from avatar_service.turn.turn import Turn


class Captions:
    """Tells one turn's words, each once and in order."""

    def __init__(self, turn: Turn, out: Sender[Event]) -> None:
        self._turn = turn
        self._out = out
        self._told = 0
        self._end_s = 0.0

    async def until(self, position_s: float) -> None:
        """Tell the words that begin before `position_s`, so that each comes before its voice if the vendor tells it."""
        told = self._turn.spoken.told
        while self._told < len(told) and (word := told[self._told]).start_s < position_s:
            start_s = max(word.start_s, self._end_s)  # an estimate that was told may have lain too late
            end_s = max(word.end_s, start_s)
            self._told, self._end_s = self._told + 1, end_s
            await self._out.send(SpokenText(self._turn.turn_id, word.text, start_s, end_s, word.estimated))

    async def rest(self) -> None:
        """Tell those that are left, when the last media were sent."""
        await self.until(math.nextafter(self._turn.play_out.sent_s, math.inf))
