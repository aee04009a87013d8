"""Where the client is in a turn's media, as well as the server can know it."""

from avatar_service import clock


class PlayOut:
    """The play-out position of one turn, in seconds from its first audio sample.

    Without reports it runs with the clock from the first media on and stands still where media run out: offsets stay
    contiguous, so a late sentence moves the clock, never the audio. A report from the client replaces the estimate.
    An unpaced turn is played whenever its client likes: its position is known from reports alone.
    """

    def __init__(self, *, unpaced: bool = False) -> None:
        self._unpaced = unpaced
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
        if self._unpaced:
            return self._anchor_position_s
        return min(self._anchor_position_s + clock.now() - self._anchor_time_s, self._sent_s)

    @property
    def lead_s(self) -> float:
        """How far sent media is ahead of play-out."""
        return self._sent_s - self.position_s

    def is_over(self, until_s: float, *, in_s: float = 0.0) -> bool:
        """Whether what is shown up to `until_s` is over in so many seconds; of an unpaced turn nothing ever is."""
        return not self._unpaced and self.position_s + in_s >= until_s

    def reaches_at(self, position_s: float) -> float | None:
        """The moment on the loop's clock at which play-out comes to a position; None for an unpaced turn."""
        return None if self._unpaced else clock.now() + position_s - self.position_s

    def sent(self, until_s: float) -> None:
        """Media up to `until_s` is on its way; a clock that had run out of media starts again from here."""
        if self.lead_s <= 0 and not self._unpaced:
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
