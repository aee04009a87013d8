"""A client's loudspeaker: it plays what comes, says how far it is, and stops when it is told."""

import asyncio
from collections.abc import Callable

from avatar_service import clock
from avatar_service.events import Event, Interrupted, Media
from avatar_service.media.types import SpeechChunk
from avatar_service.session.inputs import PlaybackReport


class Player:
    """Plays each turn from its first chunk on, stands still where media run out, and reports every `every_s`.

    Reports take `latency_s` to arrive. One that has no `last_report` never says where it stopped.
    """

    def __init__(self, every_s: float = 0.2, *, latency_s: float = 0.0, last_report: bool = True) -> None:
        self._every_s = every_s
        self._latency_s = latency_s
        self._last_report = last_report
        self._turn_id = 0
        self._sent_s = 0.0
        self._anchor_s = 0.0
        self._position_s = 0.0
        self._send: Callable[[PlaybackReport], None] = lambda report: None

    async def run(self, send: Callable[[PlaybackReport], None]) -> None:
        """Report for ever."""
        self._send = send
        while True:
            await asyncio.sleep(self._every_s)
            if self._turn_id:
                self._report(self._turn_id, self.position_s)

    def take(self, event: Event, fps: float) -> None:
        """An event has come."""
        match event:
            case Media(turn_id, SpeechChunk(index)) if turn_id:
                position_s = self.position_s if turn_id == self._turn_id else 0.0
                self._position_s, self._anchor_s, self._turn_id = position_s, clock.now(), turn_id
                self._sent_s = (index + 1) / fps
            case Interrupted(turn_id) if turn_id == self._turn_id:
                if self._last_report:
                    self._report(turn_id, self.position_s, stopped=True)
                self._turn_id = 0

    @property
    def position_s(self) -> float:
        """How much of the turn was played."""
        return min(self._position_s + clock.now() - self._anchor_s, self._sent_s)

    def _report(self, turn_id: int, position_s: float, *, stopped: bool = False) -> None:
        report = PlaybackReport(turn_id, position_s, stopped)
        asyncio.get_running_loop().call_later(self._latency_s, self._send, report)
