"""What events and lists are made of, as plain values: formats, limits, statuses, metrics, avatars, voices, servers."""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Literal, TypeAlias

# The words of the contract's enums; tests/unit/client/test_events.py holds them to it.
AudioEncoding: TypeAlias = Literal["UNSPECIFIED", "LINEAR16", "MULAW", "OPUS"]
FrameEncoding: TypeAlias = Literal["UNSPECIFIED", "JPEG", "RAW", "H264"]
AvatarState: TypeAlias = Literal["UNSPECIFIED", "PREPARING", "READY", "FAILED"]
ConversationState: TypeAlias = Literal["UNSPECIFIED", "IDLE", "LISTENING", "THINKING", "SPEAKING"]
GoAwayReason: TypeAlias = Literal["UNSPECIFIED", "DRAINING", "SESSION_AGE", "CREDENTIAL_EXPIRING"]
InterruptionReason: TypeAlias = Literal["UNSPECIFIED", "BARGE_IN", "REQUESTED", "REPLACED", "SERVER"]
Stage: TypeAlias = Literal["UNSPECIFIED", "LISTEN", "TRANSCRIBE", "THINK", "SPEAK", "ANIMATE", "STORE"]
TurnOutcome: TypeAlias = Literal["UNSPECIFIED", "COMPLETED", "INTERRUPTED", "SKIPPED", "FAILED", "AWAITING_TOOLS"]
TurnSource: TypeAlias = Literal[
    "UNSPECIFIED", "UTTERANCE", "TEXT", "SAY", "TOOL_RESULTS", "FIRST_MESSAGE", "FALSE_BARGE_IN", "RESUME"
]
NoticeReason: TypeAlias = Literal[
    "UNSPECIFIED",
    "RETRYING",
    "FALLBACK",
    "TRANSCRIPTION_FAILED",
    "CHAT_FAILED",
    "REPLY_CUT",
    "SPEECH_FAILED",
    "SPEECH_STARVED",
    "VIDEO_LOST",
    "VIDEO_RESTORED",
    "FRAMES_SHED",
    "NOT_RESUMABLE",
    "RESUMABLE",
    "FALSE_BARGE_IN",
    "UTTERANCE_TOO_LONG",
    "REQUEST_IGNORED",
    "SAY_QUEUE_FULL",
    "TOOL_TIMEOUT",
    "CREDENTIAL_EXPIRING",
]
Code: TypeAlias = Literal[
    "UNSPECIFIED",
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]


@dataclass(frozen=True, slots=True)
class MediaFormat:
    """How a stream's media are encoded. `width` and `height` are pixels, 0 if no frames are sent."""

    audio_encoding: AudioEncoding = "LINEAR16"
    sample_rate_hz: int = 24_000
    frame_encoding: FrameEncoding = "JPEG"
    frame_rate: Fraction = Fraction(25)
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that hold for the caller; 0 means that there is none."""

    max_message_bytes: int = 0
    max_text_characters: int = 0
    max_utterance_s: float = 0.0
    max_buffered_audio_s: float = 0.0
    max_queued_says: int = 0
    max_session_age_s: float = 0.0
    max_concurrent_sessions: int = 0
    max_messages_per_second: int = 0
    max_reader_stall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Status:
    """How something ended: `reason` is a constant to branch on, `retry_delay_s` the seconds to wait or None."""

    code: Code = "UNSPECIFIED"
    message: str = ""
    reason: str = ""
    field: str = ""
    retry_delay_s: float | None = None


@dataclass(frozen=True, slots=True)
class TurnMetrics:
    """What a turn took by the server's clock. A time is None where that part did not run.

    The contract's `TurnMetrics` defines each from what to what.
    """

    transcription_time_ms: int | None = None
    llm_response_time_ms: int | None = None
    tts_generation_time_ms: int | None = None
    total_latency_ms: int | None = None
    time_to_first_token_ms: int | None = None
    time_to_first_audio_ms: int | None = None
    time_to_first_frame_ms: int | None = None
    endpointing_time_ms: int | None = None
    time_to_first_speech_byte_ms: int | None = None
    first_render_time_ms: int | None = None
    interruption_time_ms: int | None = None
    sent_frame_count: int = 0
    held_frame_count: int = 0
    shed_frame_count: int = 0
    starved_ms: int = 0
    retry_count: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a turn used, for metering."""

    transcribed_audio_s: float = 0.0
    prompt_token_count: int = 0
    completion_token_count: int = 0
    speech_character_count: int = 0
    sent_audio_s: float = 0.0
    rendered_frame_count: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool; `arguments_json` is as the model wrote it: check it."""

    tool_call_id: str
    name: str
    arguments_json: str


@dataclass(frozen=True, slots=True)
class FaceBox:
    """Where a face is in a picture, in pixels from its top left corner; at least 32 wide and high."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class PreparationReport:
    """What preparation made of the frames of an upload: where the face is hidden for long, they are left out."""

    source_frame_count: int = 0
    interpolated_frame_count: int = 0
    dropped_frame_count: int = 0


@dataclass(frozen=True, slots=True)
class Avatar:
    """A face that can be animated; `name` is `avatars/{id}`. While it is prepared, sizes and `frame_rate` are 0."""

    name: str
    display_name: str
    state: AvatarState
    width: int
    height: int
    frame_rate: Fraction
    loop_frame_count: int
    tier: str
    demonstration: bool
    public: bool
    progress_percent: int
    content_sha256: str
    create_time: datetime | None = None
    status: Status | None = None
    preparation_report: PreparationReport | None = None


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """How a voice speaks; None: the engine's own."""

    stability: float | None = None
    similarity_boost: float | None = None
    style: float | None = None
    use_speaker_boost: bool | None = None
    speed: float | None = None


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice that an avatar may have; `name` is `voices/{id}`."""

    name: str
    display_name: str
    language_codes: tuple[str, ...]
    description: str
    default_settings: VoiceSettings
    demonstration: bool


@dataclass(frozen=True, slots=True)
class Model:
    """A model that does the work of a stage."""

    stage: Stage
    name: str
    vendor: str
    version: str
    demonstration: bool


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server offers."""

    version: str
    api_version: str
    input_audio_encodings: tuple[AudioEncoding, ...]
    output_audio_encodings: tuple[AudioEncoding, ...]
    frame_encodings: tuple[FrameEncoding, ...]
    frame_rates: tuple[Fraction, ...]
    limits: Limits
    models: tuple[Model, ...]
    default_avatar: str
    default_voice: str
    features: tuple[str, ...]
