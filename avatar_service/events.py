"""What a session tells its client, before it is turned into messages of the contract."""

from dataclasses import dataclass, field
from enum import Enum

from avatar_service.media.types import Packet
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


class Cause(Enum):
    """Why a turn was interrupted."""

    BARGE_IN = "barge_in"
    REQUESTED = "requested"
    REPLACED = "replaced"


class Outcome(Enum):
    """How a turn ended."""

    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """User audio up to `offset_s` was taken in and need not be kept by the client."""

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
    """What an utterance said; it will not change."""

    utterance_id: int
    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The floor went over; `turn_id` is 0 where no turn is concerned."""

    state: State
    turn_id: int = 0


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A turn began, from these utterances (none for text)."""

    turn_id: int
    source: Source
    utterance_ids: tuple[int, ...]
    request_id: str


@dataclass(frozen=True, slots=True)
class ReplyText:
    """The next piece of the reply."""

    turn_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Media:
    """A piece of voice or a frame, in play-out order."""

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
    """Something the client should know that ends neither turn nor session; `reason` is for programs."""

    reason: str
    message: str
    turn_id: int = 0


class FailureKind(Enum):
    """What kind of failure ended a turn."""

    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a turn failed: what kind, in which stage, and a sentence that is safe to show."""

    kind: FailureKind
    stage: str
    message: str


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """A turn's end, exactly once. Characters, tokens and frames are counts."""

    turn_id: int
    outcome: Outcome
    generated_text: str
    heard_text: str
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
    frames_rendered: int = 0
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
    | Media
    | ReplyFinished
    | Interrupted
    | Notice
    | TurnCompleted
)
