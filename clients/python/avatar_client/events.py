"""What a stream tells its client: one frozen class for each response, to be told apart with `match`.

    match event:
        case ReplyText(text=text):
            print(text, end="")
        case Frame(offset_s=offset_s, data=jpeg):
            ...

`ConverseEvent`, `SpeakEvent` and `AnimateEvent` are what the three calls yield. Offsets and durations are seconds; ids
count from 1, and 0 means "none"; words of the contract's enums are `Literal`s without their prefix.
"""

from dataclasses import dataclass
from typing import TypeAlias

from avatar.v1 import AnimateConfig, ConverseConfig, SpeakRequest
from avatar_client.facts import (
    ConversationState,
    GoAwayReason,
    InterruptionReason,
    Limits,
    MediaFormat,
    NoticeReason,
    Stage,
    Status,
    ToolCall,
    TurnMetrics,
    TurnOutcome,
    TurnSource,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Audio:
    """A piece of the avatar's voice; pieces of a turn follow one another without a gap.

    `data` is as it came over the wire, `pcm` the same as 16-bit little-endian mono samples.
    """

    turn_id: int
    index: int
    offset_s: float
    data: bytes
    pcm: bytes
    sample_count: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture of the avatar, to be shown from `offset_s` of its turn on. `turn_id` 0: an idle frame, between turns.

    A gap in `index` means that a frame was held: go on showing the one before.
    """

    turn_id: int
    index: int
    offset_s: float
    data: bytes
    keyframe: bool = True
    loop_index: int = 0


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The conversation has begun. `config` is the configuration in force, every default filled in."""

    session_id: str
    media: MediaFormat
    config: ConverseConfig
    limits: Limits
    resume_token: str = ""
    resume_window_s: float = 0.0
    resumed: bool = False
    audio_received_offset_s: float = 0.0
    last_turn_id: int = 0


@dataclass(frozen=True, slots=True)
class SpeakStarted:
    """Speaking is about to begin. `config` is the request in force, every default filled in, without its text."""

    session_id: str
    media: MediaFormat
    config: SpeakRequest


@dataclass(frozen=True, slots=True)
class AnimateStarted:
    """The stream is ready for audio. `config` is the configuration in force, every default filled in."""

    session_id: str
    media: MediaFormat
    config: AnimateConfig
    limits: Limits


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """How much of the user's audio has arrived."""

    offset_s: float


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user speaks, since `offset_s` of their audio."""

    utterance_id: int
    offset_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The user has stopped; their voice ended at `offset_s` of their audio."""

    utterance_id: int
    offset_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was understood of an utterance. A final one will not change; it is empty if nothing was understood."""

    utterance_id: int
    text: str
    final: bool = True
    start_offset_s: float = 0.0
    end_offset_s: float = 0.0
    language: str = ""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """Who has the floor."""

    state: ConversationState
    turn_id: int = 0


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The avatar is about to answer."""

    turn_id: int
    utterance_ids: tuple[int, ...] = ()
    resumes_turn_id: int = 0
    source: TurnSource = "UNSPECIFIED"
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class ReplyText:
    """The next piece of the reply's text; the pieces of a turn joined are the whole."""

    turn_id: int
    text: str


@dataclass(frozen=True, slots=True)
class SpokenText:
    """A piece of the spoken text and when it is heard, for captions."""

    turn_id: int
    text: str
    start_offset_s: float
    end_offset_s: float
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """The chat model asks for tools; answer with `send_tool_results`."""

    turn_id: int
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class ToolCallsCancelled:
    """Results of these calls are no longer wanted."""

    turn_id: int
    tool_call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReplyFinished:
    """All media of the turn have been sent; it is played at `media_duration_s`."""

    turn_id: int
    media_duration_s: float


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The turn, or segment, was stopped after `played_s`: drop what of it is not yet shown or heard."""

    turn_id: int
    played_s: float = 0.0
    reason: InterruptionReason = "UNSPECIFIED"
    utterance_id: int = 0


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """The turn is over, exactly once for each."""

    turn_id: int
    outcome: TurnOutcome
    status: Status
    metrics: TurnMetrics
    usage: Usage
    generated_text: str = ""
    heard_text: str = ""
    heard_estimated: bool = False
    degraded: bool = False
    degraded_reasons: tuple[NoticeReason, ...] = ()


@dataclass(frozen=True, slots=True)
class SegmentStarted:
    """A segment has begun; its id is the `turn_id` of its media."""

    segment_id: int


@dataclass(frozen=True, slots=True)
class SegmentFinished:
    """All media of the segment have been sent."""

    segment_id: int
    media_duration_s: float


@dataclass(frozen=True, slots=True)
class SegmentCompleted:
    """The segment is over, exactly once for each."""

    segment_id: int
    status: Status
    metrics: TurnMetrics
    usage: Usage
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that changes what is seen or heard but ends neither turn nor session."""

    reason: NoticeReason
    message: str = ""
    turn_id: int = 0
    stage: Stage = "UNSPECIFIED"
    status: Status | None = None
    utterance_id: int = 0


@dataclass(frozen=True, slots=True)
class ConfigUpdated:
    """The configuration in force after an update."""

    config: ConverseConfig


@dataclass(frozen=True, slots=True)
class GoAway:
    """The server will end the stream in `time_left_s`. A conversation goes on over another one by itself: Resumed."""

    time_left_s: float
    reason: GoAwayReason
    resume_token: str = ""


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The stream broke; it is tried to resume the conversation over another one, until Resumed or an error comes."""

    cause: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """The conversation goes on over another stream; `started` says what is in force there.

    `cause` is why the one before was left: an error's text, or empty if the service had asked for it. `turn_id` is the
    turn that was played last, 0 for none, and `played_s` how much of it was: drop the rest. No more comes of it; what
    the user did not hear of it is spoken by a turn with `resumes_turn_id`. Tools that had been called are called again
    where that is needed. `outage_s` is how long the break lasted.
    """

    started: SessionStarted
    cause: str = ""
    turn_id: int = 0
    played_s: float = 0.0
    outage_s: float = 0.0


Media: TypeAlias = Audio | Frame
SpeakEvent: TypeAlias = Media | SpeakStarted | SpokenText | ReplyFinished | TurnCompleted | Notice
AnimateEvent: TypeAlias = (
    Media | AnimateStarted | SegmentStarted | SegmentFinished | SegmentCompleted | Interrupted | Notice | GoAway
)
ConverseEvent: TypeAlias = (
    Media
    | SessionStarted
    | AudioReceived
    | SpeechStarted
    | SpeechStopped
    | Transcript
    | StateChanged
    | TurnStarted
    | ReplyText
    | SpokenText
    | ToolCalls
    | ToolCallsCancelled
    | ReplyFinished
    | Interrupted
    | TurnCompleted
    | Notice
    | ConfigUpdated
    | GoAway
    | ConnectionLost
    | Resumed
)
Event: TypeAlias = ConverseEvent | SpeakEvent | AnimateEvent
