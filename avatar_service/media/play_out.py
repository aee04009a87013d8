"""Where the client is in a turn's media, as well as the server can know it."""

from avatar_service import clock


class PlayOut:
    """The play-out position of one turn, in seconds from its first audio sample.

    Without reports it runs with the clock from the first media on and stands still where media run out: offsets stay
    contiguous, so a late sentence moves the clock, never the audio. A report from the client replaces the estimate.
    """

    def __init__(self) -> None:
        self._anchor_position_s = 0.0
        self._anchor_time_s = 0.0
        self._sent_s = 0.0
        self.stalls = 0
        self.stalled_s = 0.0

    @property
    def sent_s(self) -> float:
        """Seconds of media sent."""
        return self._sent_s

    @property
    def position_s(self) -> float:
        """Seconds of media played, at most what was sent."""
        if not self._sent_s:
            return 0.0
        return min(self._anchor_position_s + clock.now() - self._anchor_time_s, self._sent_s)

    @property
    def lead_s(self) -> float:
        """How far sent media is ahead of play-out."""
        return self._sent_s - self.position_s

    def sent(self, until_s: float) -> None:
        """Media up to `until_s` is on its way; a clock that had run out of media starts again from here."""
        if self.lead_s <= 0:
            if self._sent_s:
                self.stalls += 1
                self.stalled_s += clock.now() - self._anchor_time_s - (self._sent_s - self._anchor_position_s)
            self._anchor(self._sent_s)
        self._sent_s = max(until_s, self._sent_s)

    def reported(self, position_s: float) -> None:
        """The client says it has played up to `position_s`; what was not sent cannot have been played."""
        self._anchor(min(max(position_s, 0.0), self._sent_s))

    def _anchor(self, position_s: float) -> None:
        self._anchor_position_s = position_s
        self._anchor_time_s = clock.now()
