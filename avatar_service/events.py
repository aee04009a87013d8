"""What a session tells its client, before it is turned into messages of the contract."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from avatar_service.media.types import Packet, ToolCall
from avatar_service.timings import Timings


class State(Enum):
    """Who has the floor."""

    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"


class Source(Enum):
    """What started a turn."""

    UTTERANCE = "utterance"
    TEXT = "text"
    SAY = "say"
    FIRST_MESSAGE = "first_message"
    SEGMENT = "segment"
    TOOL_RESULTS = "tool_results"
    FALSE_BARGE_IN = "false_barge_in"
    RESUME = "resume"


class Cause(Enum):
    """Why a turn was interrupted."""

    BARGE_IN = "barge_in"
    REQUESTED = "requested"
    REPLACED = "replaced"
    SERVER = "server"


class Outcome(Enum):
    """How a turn ended."""

    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    FAILED = "failed"
    AWAITING_TOOLS = "awaiting_tools"


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """User audio up to `offset_s` was understood, or holds no speech, and need not be kept by the client."""

    offset_s: float


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began to speak, `offset_s` into the received audio."""

    utterance_id: int
    offset_s: float


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The user ended an utterance, `offset_s` into the received audio."""

    utterance_id: int
    offset_s: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What an utterance said; once `final` it will not change."""

    utterance_id: int
    text: str
    start_s: float
    end_s: float
    final: bool = True


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The floor went over; `turn_id` is 0 where no turn is concerned."""

    state: State
    turn_id: int = 0


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A turn began, from these utterances (none for text); it may speak the unheard rest of an earlier turn."""

    turn_id: int
    source: Source
    utterance_ids: tuple[int, ...]
    request_id: str
    resumes_turn_id: int = 0


@dataclass(frozen=True, slots=True)
class ReplyText:
    """The next piece of the reply."""

    turn_id: int
    text: str


@dataclass(frozen=True, slots=True)
class SpokenText:
    """A word of the reply and when it is heard, in seconds from the turn's first sample; `text` ends with its space."""

    turn_id: int
    text: str
    start_s: float
    end_s: float
    estimated: bool


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """The chat model asks the client to run these."""

    turn_id: int
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class ToolCallsCancelled:
    """Results of these calls of a turn are not wanted any more."""

    turn_id: int
    tool_call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Media:
    """A piece of voice or a frame, in play-out order; turn 0 is the idle avatar."""

    turn_id: int
    packet: Packet


@dataclass(frozen=True, slots=True)
class ReplyFinished:
    """The turn's last media was sent; it lasts `media_s` seconds in all."""

    turn_id: int
    media_s: float


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The turn was broken off after `played_s` seconds of its media."""

    turn_id: int
    played_s: float
    cause: Cause
    utterance_id: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the client should know that ends neither turn nor session; `reason` is for programs.

    `stage` is the one concerned, if any; `failure` is what lies behind it.
    """

    reason: str
    message: str
    turn_id: int = 0
    utterance_id: int = 0
    stage: str = ""
    failure: "Failure | None" = None


class GoAwayReason(Enum):
    """Why a stream will be ended."""

    DRAINING = "draining"
    SESSION_AGE = "session_age"
    CREDENTIAL_EXPIRING = "credential_expiring"


@dataclass(frozen=True, slots=True)
class GoAway:
    """The stream will be ended in `time_left_s`; the token, empty if there is none, resumes the session."""

    time_left_s: float
    reason: GoAwayReason
    resume_token: str


@dataclass(frozen=True, slots=True)
class ConfigUpdated:
    """New settings are in force; `config` is the contract's message of them all, which the session passes on unread."""

    config: Any


class FailureKind(Enum):
    """What kind of failure ended a turn."""

    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a turn failed: what kind, in which stage, and a sentence that is safe to show.

    `engine` and `fault` are facts for programs, the latter a word of errors.Fault.
    """

    kind: FailureKind
    stage: str
    message: str
    engine: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """A turn's end, exactly once. Characters, tokens and frames are counts."""

    turn_id: int
    outcome: Outcome
    generated_text: str
    heard_text: str
    heard_estimated: bool = True
    """Whether words came without their times, or play-out was not reported."""
    timings: Timings = field(default_factory=Timings)
    failure: Failure | None = None
    degraded_by: tuple[str, ...] = ()
    """Reasons of the notices behind what was missing or replaced."""
    transcribed_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    spoken_characters: int = 0
    frames_sent: int = 0
    frames_held: int = 0
    frames_shed: int = 0
    """Frames that were ready but not sent because the client read too slowly."""
    frames_rendered: int = 0
    retries: int = 0
    """Requests to engines that were repeated."""
    starved_s: float = 0.0
    media_s: float = 0.0
    audio_only: bool = False


Event = (
    AudioReceived
    | SpeechStarted
    | SpeechStopped
    | Transcript
    | StateChanged
    | TurnStarted
    | ReplyText
    | SpokenText
    | ToolCalls
    | ToolCallsCancelled
    | Media
    | ReplyFinished
    | Interrupted
    | Notice
    | GoAway
    | ConfigUpdated
    | TurnCompleted
)
