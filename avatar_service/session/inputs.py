"""What reaches a session's loop, from its client and from its own tasks."""

from dataclasses import dataclass

from avatar_service.events import Failure
from avatar_service.turn.turn import UserInput


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """The user speaks."""

    utterance_id: int


@dataclass(frozen=True, slots=True)
class Said:
    """An utterance ended, or the client gave text; `interrupts` if it does not wait for the current turn."""

    user_input: UserInput
    interrupts: bool = False


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The client asks for silence; turn 0 is whichever is spoken."""

    turn_id: int = 0


@dataclass(frozen=True, slots=True)
class PlaybackReport:
    """The client has played a turn up to `position_s`."""

    turn_id: int
    position_s: float


@dataclass(frozen=True, slots=True)
class InputEnded:
    """Nothing more will come from the client."""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """A turn came to its end by itself. Only the session's loop completes turns, so each is completed once."""

    turn_id: int
    failure: Failure | None


Input = SpeechBegan | Said | Interrupt | PlaybackReport | InputEnded | TurnEnded
