"""All configuration of the service, read once at start from the environment and `.env`.

Each section is a frozen class; the sentence under a field says what it does. Names the project inherited
(`OPENAI_API_KEY`, `ELEVENLABS_VOICE_ID`, ...) work beside `AVATAR_*`; an unknown `AVATAR_*` name is refused,
since it is a typing error that would otherwise go unnoticed. Only this module reads the environment.
"""

import difflib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_type_hints

from dotenv.parser import parse_stream
from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from avatar_service.errors import StartupError
from avatar_service.setting_types import HostPort, HostPortOrEmpty, Key, Name, RedisUrl, Seconds, Url, split_address

_CHECKOUT = Path(__file__).resolve().parents[1]


class _Section(BaseSettings):
    model_config = SettingsConfigDict(
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        extra="ignore",
        populate_by_name=True,
        # Names come from the aliases alone: without a prefix a field's bare name, such as MODEL, would be read as well.
        env_prefix="AVATAR_UNNAMED_",
    )


def _named(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class ServerSettings(_Section):
    """The gRPC server."""

    listen: HostPort = Field("127.0.0.1:50051", validation_alias=_named("AVATAR_LISTEN"))
    """Address to listen on; port 0 picks a free one."""
    reflection: bool = Field(True, validation_alias=_named("AVATAR_REFLECTION"))
    """Whether clients can ask the server for its contract."""
    max_sessions: int = Field(100, ge=1, le=10_000, validation_alias=_named("AVATAR_MAX_SESSIONS"))
    """Streams served at once; one more is refused with RESOURCE_EXHAUSTED."""
    stop_grace_s: float = Field(5.0, ge=0, le=3600, validation_alias=_named("AVATAR_STOP_GRACE_S"))
    """How long open streams may go on after a stop was asked for, in seconds."""
    avatars: Path = Field(_CHECKOUT / "inference/assets/avatars", validation_alias=_named("AVATAR_AVATARS"))
    """Directory of avatar bundles, the same that Triton reads."""
    default_avatar: str = Field("", validation_alias=_named("AVATAR_DEFAULT_AVATAR"))
    """Avatar of a session that names none; empty takes the first by name."""
    metrics_listen: HostPortOrEmpty = Field("127.0.0.1:9464", validation_alias=_named("AVATAR_METRICS_LISTEN"))
    """Address of metrics and probes over HTTP; empty switches them off."""
    log_format: Literal["console", "json"] = Field("console", validation_alias=_named("AVATAR_LOG_FORMAT"))
    """`console` for people, `json` for machines."""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = Field(
        "INFO", validation_alias=_named("AVATAR_LOG_LEVEL")
    )
    """Least severe level that is logged."""


class OpenAISettings(_Section):
    """Speech to text and chat, at OpenAI or anything that speaks its protocol."""

    api_key: Key = Field(SecretStr(""), validation_alias=_named("AVATAR_OPENAI_API_KEY", "OPENAI_API_KEY"))
    """Key of the account; needed unless a base URL is set."""
    base_url: Url = Field("", validation_alias=_named("AVATAR_OPENAI_BASE_URL", "OPENAI_BASE_URL"))
    """Where the API is; empty means OpenAI itself."""
    chat_model: Name = Field("gpt-4o-mini", validation_alias=_named("AVATAR_OPENAI_CHAT_MODEL", "OPENAI_CHAT_MODEL"))
    """Chat model; OpenAI retires gpt-4o-mini on 2027-01-14."""
    transcription_model: Name = Field(
        "whisper-1", validation_alias=_named("AVATAR_OPENAI_TRANSCRIPTION_MODEL", "OPENAI_TRANSCRIPTION_MODEL")
    )
    """Transcription model; OpenAI retires whisper-1 on 2027-02-26."""
    max_tokens: int = Field(150, ge=1, le=4096, validation_alias=_named("AVATAR_OPENAI_MAX_TOKENS"))
    """Longest reply, in tokens."""
    temperature: float = Field(0.7, ge=0, le=2, validation_alias=_named("AVATAR_OPENAI_TEMPERATURE"))
    """How freely the model chooses its words."""
    timeout_s: Seconds = Field(30.0, validation_alias=_named("AVATAR_OPENAI_TIMEOUT", "OPENAI_TIMEOUT"))
    """Longest single wait on the vendor's connection, in seconds; the limits below are usually shorter."""


class ElevenLabsSettings(_Section):
    """Text to speech, at ElevenLabs or anything that speaks its protocol."""

    api_key: Key = Field(SecretStr(""), validation_alias=_named("AVATAR_ELEVENLABS_API_KEY", "ELEVENLABS_API_KEY"))
    """Key of the account; needed unless a base URL is set."""
    base_url: Url = Field("", validation_alias=_named("AVATAR_ELEVENLABS_BASE_URL", "ELEVENLABS_BASE_URL"))
    """Where the API is; empty means ElevenLabs itself."""
    voice_id: Name = Field(
        "21m00Tcm4TlvDq8ikWAM", validation_alias=_named("AVATAR_ELEVENLABS_VOICE_ID", "ELEVENLABS_VOICE_ID")
    )
    """Voice of a session that names none; the default is Rachel."""
    model: Name = Field(
        "eleven_multilingual_v2", validation_alias=_named("AVATAR_ELEVENLABS_MODEL", "ELEVENLABS_MODEL")
    )
    """Speech model."""
    output_format: str = Field(
        "pcm_24000",
        pattern=r"^(pcm_(8000|16000|22050|24000|32000|44100|48000)|ulaw_8000"
        r"|mp3_(22050_32|24000_48|44100_(32|64|96|128|192))|opus_48000_(32|64|96|128|192))$",
        validation_alias=_named("AVATAR_ELEVENLABS_OUTPUT_FORMAT", "ELEVENLABS_OUTPUT_FORMAT"),
    )
    """Format of the voice as the vendor sends it; the service decodes it, so clients need not know."""
    timeout_s: Seconds = Field(30.0, validation_alias=_named("AVATAR_ELEVENLABS_TIMEOUT", "ELEVENLABS_TIMEOUT"))
    """Longest single wait on the vendor's connection, in seconds; the limits below are usually shorter."""

    @property
    def rate_hz(self) -> int:
        """Sample rate of the voice, as the output format's name tells it."""
        return int(self.output_format.split("_")[1])

    @property
    def codec(self) -> str:
        """One of "pcm", "ulaw", "mp3" or "opus"."""
        return self.output_format.split("_")[0]

    @property
    def bytes_per_s(self) -> int:
        """How many bytes the vendor sends for a second of voice."""
        if self.codec in ("mp3", "opus"):
            return int(self.output_format.split("_")[2]) * 1000 // 8
        return self.rate_hz * (2 if self.codec == "pcm" else 1)


class TritonSettings(_Section):
    """Where lip-sync is rendered."""

    address: HostPort = Field("127.0.0.1:8001", validation_alias=_named("AVATAR_TRITON_ADDRESS"))
    """gRPC address of a Triton that serves the model."""
    model: Name = Field("musetalk", validation_alias=_named("AVATAR_TRITON_MODEL"))
    """Name of the model in its repository."""
    timeout_s: Seconds = Field(10.0, validation_alias=_named("AVATAR_TRITON_TIMEOUT_S"))
    """Longest that a turn waits for one render request, in seconds."""


class LipSyncSettings(_Section):
    """How much sound the lip-sync model hears around the frames of one request."""

    left_context_ms: int = Field(1_000, ge=200, le=2_500, validation_alias=_named("AVATAR_LIPSYNC_LEFT_CONTEXT_MS"))
    """Sound before a request's first frame, in milliseconds; the embedded model was trained on the default."""
    look_ahead_ms: int = Field(240, ge=120, le=500, validation_alias=_named("AVATAR_LIPSYNC_LOOK_AHEAD_MS"))
    """Sound after a request's last frame, in milliseconds, by which every frame comes later; the embedded model was
    trained on the default."""


class PreparationSettings(_Section):
    """Avatars that users make, and bounds on what they may upload."""

    store: str = Field("", validation_alias=_named("AVATAR_STORE"))
    """Directory of the avatars that users make; empty is `avatar-service/avatars` in the user's data directory."""
    data_home: str = Field("", validation_alias=_named("XDG_DATA_HOME"))
    """The user's data directory; empty is ~/.local/share."""
    upload_bytes: int = Field(209_715_200, ge=1_024, le=4_294_967_296, validation_alias=_named("AVATAR_UPLOAD_BYTES"))
    """Largest file that may be uploaded, in bytes."""
    source_pixels: int = Field(50_000_000, ge=4_096, le=80_000_000, validation_alias=_named("AVATAR_SOURCE_PIXELS"))
    """Largest picture or video frame that may be uploaded, in pixels."""
    source_s: Seconds = Field(30.0, validation_alias=_named("AVATAR_SOURCE_S"))
    """Longest video that may be uploaded, in seconds."""
    source_frames: int = Field(900, ge=1, le=10_000, validation_alias=_named("AVATAR_SOURCE_FRAMES"))
    """Most frames of a video that may be uploaded."""
    side: int = Field(1_280, ge=128, le=4_096, validation_alias=_named("AVATAR_SIDE"))
    """Longest side of an avatar's frames, in pixels; larger sources are scaled down."""
    stored: int = Field(100, ge=1, le=10_000, validation_alias=_named("AVATAR_STORED"))
    """Most avatars in the store, those being prepared included."""
    at_once: int = Field(1, ge=1, le=64, validation_alias=_named("AVATAR_PREPARATIONS"))
    """Avatars prepared at once; each has one thread for its video."""
    queued: int = Field(8, ge=0, le=1_000, validation_alias=_named("AVATAR_QUEUED_PREPARATIONS"))
    """Most uploads and preparations that wait behind those."""
    request_s: Seconds = Field(120.0, validation_alias=_named("AVATAR_PREPARATION_TIMEOUT_S"))
    """Longest wait for one request to Triton, of up to 8 pictures, in seconds."""
    delete_grace_s: float = Field(3_600.0, ge=0, le=604_800, validation_alias=_named("AVATAR_DELETE_GRACE_S"))
    """How long the files of a deleted avatar stay for the sessions that use it, in seconds."""

    @property
    def folder(self) -> Path:
        """Directory of the store; need not exist yet."""
        home = Path(self.data_home or "~/.local/share")
        return (Path(self.store) if self.store else home / "avatar-service" / "avatars").expanduser().absolute()


class LimitSettings(_Section):
    """Deadlines of vendor calls and bounds on what a client may send."""

    connect_s: Seconds = Field(3.0, validation_alias=_named("AVATAR_CONNECT_S"))
    """Longest wait for a vendor's connection, in seconds."""
    first_output_s: Seconds = Field(5.0, validation_alias=_named("AVATAR_FIRST_OUTPUT_S"))
    """Longest wait for a vendor's first output, in seconds."""
    between_outputs_s: Seconds = Field(5.0, validation_alias=_named("AVATAR_BETWEEN_OUTPUTS_S"))
    """Longest silence in a vendor's stream after its first output, in seconds."""
    attempts: int = Field(3, ge=1, le=5, validation_alias=_named("AVATAR_ATTEMPTS"))
    """How often a vendor call is tried before its first output."""
    message_bytes: int = Field(65_536, ge=4096, le=4_194_304, validation_alias=_named("AVATAR_MESSAGE_BYTES"))
    """Largest message a client may send on a stream, in bytes."""
    text_characters: int = Field(4_000, ge=1, le=1_000_000, validation_alias=_named("AVATAR_TEXT_CHARACTERS"))
    """Longest text a client may send as one input, in characters."""
    buffered_audio_s: Seconds = Field(30.0, validation_alias=_named("AVATAR_BUFFERED_AUDIO_S"))
    """Most user audio that waits to be listened to, in seconds; a client that sends faster is slowed down."""
    utterance_s: Seconds = Field(60.0, validation_alias=_named("AVATAR_UTTERANCE_S"))
    """Longest single utterance, in seconds; it is ended there."""
    queued_turns: int = Field(8, ge=1, le=1_000, validation_alias=_named("AVATAR_QUEUED_TURNS"))
    """Most turns that wait behind the current one."""


class SessionSettings(_Section):
    """How long a stream of a conversation lives, and where its session is kept to be resumed."""

    redis_url: RedisUrl = Field(SecretStr(""), validation_alias=_named("AVATAR_REDIS_URL"))
    """Redis that keeps the sessions of all processes; empty: each process keeps its own."""
    resume_s: Seconds = Field(120.0, validation_alias=_named("AVATAR_RESUME_S"))
    """How long a session can be resumed after its stream has ended, in seconds."""
    age_s: float = Field(3_600.0, ge=1, le=86_400, validation_alias=_named("AVATAR_SESSION_AGE_S"))
    """Age at which a stream is ended, in seconds."""
    go_away_s: Seconds = Field(60.0, validation_alias=_named("AVATAR_GO_AWAY_S"))
    """How long before its end by age a stream is told of it, in seconds."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the service can be told."""

    server: ServerSettings
    openai: OpenAISettings
    elevenlabs: ElevenLabsSettings
    triton: TritonSettings
    lip_sync: LipSyncSettings
    limits: LimitSettings
    preparation: PreparationSettings
    sessions: SessionSettings

    @classmethod
    def load(cls, env_file: Path | None = Path(".env")) -> Self:
        """Read the environment, and `env_file` where it exists. Raises StartupError naming what is wrong."""
        _refuse_unknown_names({*os.environ, *names_in(env_file)})
        try:
            sections = {name: section(_env_file=env_file) for name, section in get_type_hints(cls).items()}
        except ValidationError as error:
            raise StartupError(_reasons(error)) from None
        return cls(**sections)

    def listening_on(self, address: str) -> Self:
        """These settings with another address to listen on. Raises StartupError if it is none."""
        try:
            split_address(address)
        except ValueError as error:
            raise StartupError(f"--listen: {error}, such as 127.0.0.1:50051") from error
        return replace(self, server=self.server.model_copy(update={"listen": address}))

    def with_metrics_on(self, address: str, *, unless_set: bool = False) -> Self:
        """These settings with another address for metrics, empty for none; `unless_set` leaves a chosen one alone."""
        if unless_set and "metrics_listen" in self.server.model_fields_set:
            return self
        return replace(self, server=self.server.model_copy(update={"metrics_listen": address}))

    def require_vendors(self) -> None:
        """Raise StartupError unless each vendor has a key or a base URL."""
        for name, vendor in (("OPENAI", self.openai), ("ELEVENLABS", self.elevenlabs)):
            if not (vendor.api_key.get_secret_value() or vendor.base_url):
                raise StartupError(
                    f"{name}_API_KEY and {name}_BASE_URL are both unset: give a key for the vendor itself, or the "
                    "address of a server that speaks its protocol; `avatar-service up` needs neither"
                )


def names_in(env_file: Path | None) -> list[str]:
    """The names that the file sets. Raises StartupError if it cannot be read or has a line that is no setting."""
    if env_file is None or not env_file.is_file():
        return []
    try:
        with env_file.open(encoding="utf-8") as lines:
            bindings = list(parse_stream(lines))
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"{env_file}: cannot be read ({type(error).__name__}); it must be a UTF-8 text") from error
    if wrong := [binding.original.line for binding in bindings if binding.error]:
        raise StartupError(f"{env_file}: line {wrong[0]} is not NAME=VALUE")
    return [binding.key for binding in bindings if binding.key]


def setting_names() -> set[str]:
    """Every name that is read."""
    return set(_fields())


def _fields() -> dict[str, Any]:
    """Every setting's field by each of its names."""
    return {
        alias: field
        for section in get_type_hints(Settings).values()
        for field in section.model_fields.values()
        for alias in field.validation_alias.choices
    }


def _reasons(error: ValidationError) -> str:
    """What is wrong with which setting, in one line; never its value, which may be a key."""
    fields = _fields()
    reasons = []
    for fault in error.errors():
        field = fields[str(fault["loc"][0])]
        names = " or ".join(field.validation_alias.choices)
        limits = {name: _shown(limit) for name, limit in fault.get("ctx", {}).items()}
        reason = _reason(fault["type"], limits, fault["msg"])
        default = "" if isinstance(field.default, SecretStr) else _shown(field.default)
        reasons.append(f"{names}: {reason}{default and f'; unset, it is {default}'}")
    return "; ".join(reasons)


def _shown(value: object) -> str:
    """A limit or a default as one would write it."""
    return str(value).lower() if isinstance(value, bool) else str(value).removesuffix(".0")


def _reason(kind: str, limits: dict[str, str], message: str) -> str:
    """Pydantic's fault in the words of docs/settings.md."""
    known = {
        "greater_than": "must be above {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than_equal": "must be at most {le}",
        "literal_error": "must be {expected}",
        "string_too_short": "must not be empty",
        "string_too_long": "must have at most {max_length} characters",
        "int_parsing": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_parsing": "must be a number",
        "finite_number": "must be a number that is not infinite",
        "bool_parsing": "must be true or false",
        "string_pattern_mismatch": "is none of the values that docs/settings.md lists",
    }
    return known[kind].format(**limits) if kind in known else message.removeprefix("Value error, ")


def _refuse_unknown_names(names: set[str]) -> None:
    known = _fields()
    if unknown := sorted(name for name in names if name.startswith("AVATAR_") and name not in known):
        close = difflib.get_close_matches(unknown[0], known, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        raise StartupError(f"unknown setting {', '.join(unknown)}; {meant}docs/settings.md lists every name")
