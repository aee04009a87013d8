"""What reaches a session's loop, from its client and from its own tasks."""

from dataclasses import dataclass
from typing import Any

from avatar_service.events import Failure
from avatar_service.session.config import SessionConfig
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
    """The client has played a turn up to `position_s`; if `stopped`, it will play no more of it.

    No input of the loop's: it counts at once, also while the loop waits for a turn to end.
    """

    turn_id: int
    position_s: float
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What one tool returned; if it `failed`, `output` says how."""

    tool_call_id: str
    output: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ToolResults:
    """What tools returned."""

    results: tuple[ToolResult, ...]


@dataclass(frozen=True, slots=True)
class ToolsTimedOut:
    """The results of the calls of this turn did not come in time."""

    turn_id: int


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """New settings, from the next turn on; `told` is the contract's message of them all, for the client."""

    config: SessionConfig
    told: Any


@dataclass(frozen=True, slots=True)
class RestDue:
    """The wait after a barge-in without words is over: the unheard rest of the turn may be spoken."""

    turn_id: int


@dataclass(frozen=True, slots=True)
class InputEnded:
    """Nothing more will come from the client."""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """A turn came to its end by itself. Only the session's loop completes turns, so each is completed once."""

    turn_id: int
    failure: Failure | None


Input = SpeechBegan | Said | Interrupt | ToolResults | ToolsTimedOut | ConfigChanged | RestDue | InputEnded | TurnEnded
