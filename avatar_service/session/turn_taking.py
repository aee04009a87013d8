"""Whose turn it is: a state machine that decides and never waits.

The user's inputs become turns one at a time. What is said while the avatar answers waits, unless it interrupts: a voice
if barge-in is on, text always. `EndSession` comes once, when the input has ended and every turn is over.
"""

from collections import deque
from dataclasses import dataclass, replace

from avatar_service.events import Cause
from avatar_service.media.types import Utterance
from avatar_service.turn.turn import UserInput


@dataclass(frozen=True, slots=True)
class StartTurn:
    """Begin a turn that answers this input."""

    user_input: UserInput


@dataclass(frozen=True, slots=True)
class InterruptTurn:
    """Break off the current turn; it is over when this was done."""

    cause: Cause
    utterance_id: int = 0


@dataclass(frozen=True, slots=True)
class RefuseInput:
    """Too much is waiting; the input is dropped and the client told."""

    user_input: UserInput


@dataclass(frozen=True, slots=True)
class EndSession:
    """Nothing is left to do."""


Decision = StartTurn | InterruptTurn | RefuseInput | EndSession


class TurnTaking:
    """Decides for one session. At most `queued_turns` inputs wait."""

    def __init__(self, queued_turns: int, *, barge_in: bool) -> None:
        self._queued_turns = queued_turns
        self._barge_in = barge_in
        self._waiting: deque[UserInput] = deque()
        self._carried: tuple[Utterance, ...] = ()
        self._input_ended = False
        self.busy = False

    def speech_began(self, utterance_id: int) -> list[Decision]:
        """The user's voice is heard; if barge-in is on it stops the avatar's, and text that waits is dropped."""
        if not (self.busy and self._barge_in):
            return []
        for waiting in self._waiting:
            self._carried += waiting.utterances
        self._waiting.clear()
        return self._stop(Cause.BARGE_IN, utterance_id)

    def carry_over(self, utterances: tuple[Utterance, ...]) -> None:
        """These were said but not understood when their turn was interrupted: the next spoken turn answers them too."""
        self._carried = utterances + self._carried

    def said(self, user_input: UserInput, *, interrupts: bool) -> list[Decision]:
        """The user finished an utterance, or the client gave text."""
        if self.busy and interrupts:
            return [*self._stop(Cause.REPLACED), *self._start(user_input)]
        if not self.busy:
            return self._start(user_input)
        if len(self._waiting) >= self._queued_turns:
            return [RefuseInput(user_input)]
        self._waiting.append(user_input)
        return []

    def interrupt(self) -> list[Decision]:
        """The client asks for silence: text that waits is dropped; what the user said is answered next."""
        self._waiting = deque(waiting for waiting in self._waiting if waiting.utterances)
        return self._stop(Cause.REQUESTED) + self._next() if self.busy else []

    def turn_ended(self) -> list[Decision]:
        """The current turn came to its end."""
        self.busy = False
        return self._next()

    def input_ended(self) -> list[Decision]:
        """The client will send nothing more."""
        self._input_ended = True
        return [] if self.busy else self._next()

    def _start(self, user_input: UserInput) -> list[Decision]:
        self.busy = True
        if user_input.utterances and self._carried:
            user_input = replace(user_input, utterances=self._carried + user_input.utterances)
            self._carried = ()
        return [StartTurn(user_input)]

    def _stop(self, cause: Cause, utterance_id: int = 0) -> list[Decision]:
        self.busy = False
        return [InterruptTurn(cause, utterance_id)]

    def _next(self) -> list[Decision]:
        if self._waiting:
            return self._start(self._waiting.popleft())
        return [EndSession()] if self._input_ended else []
