"""Requests that come twice: a client that resumes sends again each text of which it saw no turn."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from avatar_service.turn.turn import UserInput

REMEMBERED: Final = 64
"""Names of requests that are remembered; a client keeps as many to send again."""


class Requests:
    """The texts that a session was given, by the names that its client gave them."""

    def __init__(self, before: Sequence[str], own: Sequence[UserInput]) -> None:
        """`before` came on an earlier stream; `own` is what the session goes on with by itself."""
        self._names = deque(before, maxlen=REMEMBERED)
        self._before = set(before)
        self._own = own

    @property
    def names(self) -> tuple[str, ...]:
        """What was given so far, oldest first; without those that have no name."""
        return tuple(self._names)

    def is_repeated(self, user_input: UserInput) -> bool:
        """Whether this came on an earlier stream too, so that it is answered already. Once for each name."""
        name = user_input.request_id
        if not name or any(user_input is own for own in self._own):
            return False
        if name in self._before:
            self._before.discard(name)
            return True
        self._names.append(name)
        return False
