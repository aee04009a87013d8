"""Whose turn it is: a state machine that decides and never waits.

The user's inputs become turns one at a time. What is said while the avatar answers, or while tools work for the answer,
waits, unless it interrupts: a voice if barge-in is on, text always. After a barge-in that turns out to be noise the
avatar goes on with what was not heard. `EndSession` comes once, when the input has ended and all is over.
"""

from collections import deque
from dataclasses import dataclass, replace

from avatar_service.events import Cause, Source
from avatar_service.media.types import Utterance
from avatar_service.turn.rest import UnheardRest
from avatar_service.turn.turn import UserInput


@dataclass(frozen=True, slots=True)
class StartTurn:
    """Begin a turn that answers this input."""

    user_input: UserInput


@dataclass(frozen=True, slots=True)
class AwaitRest:
    """Nothing came of a barge-in; unless something else comes, the rest is due when its wait is over."""

    rest: UnheardRest


@dataclass(frozen=True, slots=True)
class TellFalseBargeIn:
    """A barge-in was false; the turn that follows speaks the rest."""

    rest: UnheardRest


@dataclass(frozen=True, slots=True)
class InterruptTurn:
    """Break off the current turn; it is over when this was done."""

    cause: Cause
    utterance_id: int = 0


@dataclass(frozen=True, slots=True)
class CancelTools:
    """Nobody waits for the results of the last turn's tools any more."""

    cause: Cause
    utterance_id: int = 0


@dataclass(frozen=True, slots=True)
class RefuseInput:
    """Too much is waiting; the input is dropped and the client told."""

    user_input: UserInput


@dataclass(frozen=True, slots=True)
class EndSession:
    """Nothing is left to do."""


Decision = StartTurn | AwaitRest | TellFalseBargeIn | InterruptTurn | CancelTools | RefuseInput | EndSession


class TurnTaking:
    """Decides for one session. At most `queued_turns` inputs wait. `barge_in` may be changed at any time."""

    def __init__(self, queued_turns: int, *, barge_in: bool) -> None:
        self.barge_in = barge_in
        self.busy = False
        """Whether a turn runs."""
        self.awaits_tools = False
        """Whether the last turn goes on when its tools have returned."""
        self.user_speaks = False
        self.has_ended = False
        """Whether the client will send nothing more."""
        self.carried_texts: tuple[str, ...] = ()
        """What the next spoken turn answers too, as far as it is understood."""
        self._carried: tuple[Utterance, ...] = ()
        self._queued_turns = queued_turns
        self._waiting: deque[UserInput] = deque()
        self.rest: UnheardRest | None = None
        """What a barge-in left unheard, as long as nothing else was said."""

    def speech_began(self, utterance_id: int) -> list[Decision]:
        """The user's voice is heard; if barge-in is on it stops the avatar's, and text that waits is dropped."""
        self.user_speaks = True
        if not (self._is_taken and self.barge_in):
            return []
        for waiting in self._waiting:
            self._carried += waiting.utterances
            waiting.discard_early()
        self._waiting.clear()
        return self._stop(Cause.BARGE_IN, utterance_id)

    def carry_over(self, utterances: tuple[Utterance, ...], texts: tuple[str, ...] = ()) -> None:
        """These led to nothing when their turn was interrupted: the next spoken turn answers them too. `texts` are the
        transcripts of the first of them that are known."""
        self._carried = utterances + self._carried
        self.carried_texts = texts

    def left_unheard(self, rest: UnheardRest | None) -> None:
        """A barge-in left this unheard; should it turn out to be false, that is spoken. It replaces what an earlier
        one left."""
        self.rest = rest

    def said(self, user_input: UserInput, *, interrupts: bool) -> list[Decision]:
        """The user finished an utterance, or the client gave text."""
        if user_input.utterances:
            self.user_speaks = False
        else:
            self.rest = None
        if self._is_taken and interrupts:
            return [*self._stop(Cause.REPLACED), *self._start(user_input)]
        if not self._is_taken:
            return self._start(user_input)
        if len(self._waiting) >= self._queued_turns:
            return [RefuseInput(self._with_carried(user_input))]
        self._waiting.append(user_input)
        return []

    def interrupt(self) -> list[Decision]:
        """The client asks for silence: text that waits is dropped; what the user said is answered next."""
        self.rest = None
        self._waiting = deque(waiting for waiting in self._waiting if waiting.utterances)
        return self._stop(Cause.REQUESTED) + self._next() if self._is_taken else []

    def turn_ended(self, *, skipped: bool = False, awaits_tools: bool = False) -> list[Decision]:
        """The current turn came to its end; `skipped` if nothing was said, so that a barge-in before it was false."""
        self.busy, self.awaits_tools = False, awaits_tools
        if not skipped:
            self.rest = None
        if awaits_tools:
            return []
        if self.rest and not self._waiting and not self.has_ended:
            return [AwaitRest(self.rest)]
        return self._next()

    def tools_returned(self, user_input: UserInput) -> list[Decision]:
        """The tools that were awaited have returned, or are given up: the next turn answers from that."""
        self.awaits_tools = False
        return self._start(user_input)

    def rest_due(self, turn_id: int) -> list[Decision]:
        """The wait for what a false barge-in left unheard of a turn is over."""
        rest = self.rest
        due = rest is not None and rest.turn_id == turn_id and not (self._is_taken or self.user_speaks)
        return self._speak_rest() if due else []

    def input_ended(self) -> list[Decision]:
        """The client will send nothing more."""
        self.has_ended = True
        return [] if self._is_taken else self._next()

    @property
    def waiting_texts(self) -> tuple[UserInput, ...]:
        """What waits and was not spoken by the user, oldest first."""
        return tuple(waiting for waiting in self._waiting if not waiting.utterances)

    @property
    def _is_taken(self) -> bool:
        return self.busy or self.awaits_tools

    def _start(self, user_input: UserInput) -> list[Decision]:
        self.busy = True
        return [StartTurn(self._with_carried(user_input))]

    def _with_carried(self, user_input: UserInput) -> UserInput:
        if not (user_input.utterances and self._carried):
            return user_input
        utterances, texts = self._carried + user_input.utterances, self.carried_texts
        self._carried, self.carried_texts = (), ()
        return replace(user_input, utterances=utterances, texts=texts)

    def _stop(self, cause: Cause, utterance_id: int = 0) -> list[Decision]:
        was_busy, self.busy, self.awaits_tools = self.busy, False, False
        return [InterruptTurn(cause, utterance_id) if was_busy else CancelTools(cause, utterance_id)]

    def _next(self) -> list[Decision]:
        if self._waiting:
            return self._start(self._waiting.popleft())
        if self.rest and not self.user_speaks:
            return self._speak_rest()
        return [EndSession()] if self.has_ended else []

    def _speak_rest(self) -> list[Decision]:
        rest, self.rest = self.rest, None
        assert rest is not None
        return [TellFalseBargeIn(rest), *self._start(rest.spoken(Source.FALSE_BARGE_IN))]
