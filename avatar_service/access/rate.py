"""How many messages a client may send on one stream."""

import math

from avatar_service.errors import OverloadError

PIECES_PER_SECOND = 50
"""Messages that a second of audio takes in the shortest pieces that the contract names, 20 ms."""


class MessageRate:
    """A bucket that holds `burst` messages and is filled at the rate; each message takes one out."""

    __slots__ = ("_at_s", "_burst", "_left", "_per_second")

    def __init__(self, per_second: int, now_s: float, *, burst: float = 0.0, owed: float = 0.0) -> None:
        """0 `per_second`: as many as the client likes. `burst` is beside those of one second, and `owed` may come once
        beyond it, such as the audio that a client sends again when it resumes a session."""
        self._per_second = float(per_second)
        self._burst = per_second + burst
        self._left = self._burst + owed if per_second else math.inf
        self._at_s = now_s

    def take(self, now_s: float) -> None:
        """Count a message. Raises OverloadError if it is one too many."""
        left = self._left
        if left < self._burst:
            left = min(self._burst, left + (now_s - self._at_s) * self._per_second)
        self._at_s = now_s
        if left < 1.0:
            raise OverloadError(
                f"more than {self._per_second:g} messages a second came on this stream; resume the session",
                reason="MESSAGE_RATE_EXCEEDED",
                retry_after_s=1.0,
            )
        self._left = left - 1.0
