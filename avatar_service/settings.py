"""All configuration of the service, read once at start from the environment and `.env`.

Each section is a frozen class; the sentence under a field says what it does. Names the project inherited
(`OPENAI_API_KEY`, `ELEVENLABS_VOICE_ID`, ...) work beside `AVATAR_*`; an unknown `AVATAR_*` name is refused,
since it is a typing error that would otherwise go unnoticed. Only this module reads the environment.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Self, get_type_hints

from dotenv import dotenv_values
from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from avatar_service.errors import StartupError

_CHECKOUT = Path(__file__).resolve().parents[1]


def _host_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) < 65536):
        raise ValueError(f"{value!r} is not HOST:PORT with a port up to 65535, such as 127.0.0.1:50051")
    return value


HostPort = Annotated[str, AfterValidator(_host_port)]


class _Section(BaseSettings):
    model_config = SettingsConfigDict(
        frozen=True,
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
    max_sessions: int = Field(100, ge=1, validation_alias=_named("AVATAR_MAX_SESSIONS"))
    """Streams served at once; one more is refused with RESOURCE_EXHAUSTED."""
    stop_grace_s: float = Field(5.0, ge=0, validation_alias=_named("AVATAR_STOP_GRACE_S"))
    """How long open streams may go on after a stop was asked for, in seconds."""
    avatars: Path = Field(_CHECKOUT / "inference/assets/avatars", validation_alias=_named("AVATAR_AVATARS"))
    """Directory of avatar bundles, the same that Triton reads."""
    default_avatar: str = Field("", validation_alias=_named("AVATAR_DEFAULT_AVATAR"))
    """Avatar of a session that names none; empty takes the first by name."""
    log_format: str = Field("console", pattern="^(console|json)$", validation_alias=_named("AVATAR_LOG_FORMAT"))
    """`console` for people, `json` for machines."""
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", validation_alias=_named("AVATAR_LOG_LEVEL"))
    """Least severe level that is logged."""


class OpenAISettings(_Section):
    """Speech to text and chat, at OpenAI or anything that speaks its protocol."""

    api_key: SecretStr = Field(SecretStr(""), validation_alias=_named("AVATAR_OPENAI_API_KEY", "OPENAI_API_KEY"))
    """Key of the account; needed unless a base URL is set."""
    base_url: str = Field("", validation_alias=_named("AVATAR_OPENAI_BASE_URL", "OPENAI_BASE_URL"))
    """Where the API is; empty means OpenAI itself."""
    chat_model: str = Field("gpt-4o-mini", validation_alias=_named("AVATAR_OPENAI_CHAT_MODEL", "OPENAI_CHAT_MODEL"))
    """Chat model; OpenAI retires gpt-4o-mini on 2027-01-14."""
    transcription_model: str = Field(
        "whisper-1", validation_alias=_named("AVATAR_OPENAI_TRANSCRIPTION_MODEL", "OPENAI_TRANSCRIPTION_MODEL")
    )
    """Transcription model; OpenAI retires whisper-1 on 2027-02-26."""
    max_tokens: int = Field(150, ge=1, le=4096, validation_alias=_named("AVATAR_OPENAI_MAX_TOKENS"))
    """Longest reply, in tokens."""
    temperature: float = Field(0.7, ge=0, le=2, validation_alias=_named("AVATAR_OPENAI_TEMPERATURE"))
    """How freely the model chooses its words."""
    timeout_s: float = Field(30.0, gt=0, validation_alias=_named("AVATAR_OPENAI_TIMEOUT", "OPENAI_TIMEOUT"))
    """Longest single wait on the vendor's connection, in seconds; the limits below are usually shorter."""


class ElevenLabsSettings(_Section):
    """Text to speech, at ElevenLabs or anything that speaks its protocol."""

    api_key: SecretStr = Field(
        SecretStr(""), validation_alias=_named("AVATAR_ELEVENLABS_API_KEY", "ELEVENLABS_API_KEY")
    )
    """Key of the account; needed unless a base URL is set."""
    base_url: str = Field("", validation_alias=_named("AVATAR_ELEVENLABS_BASE_URL", "ELEVENLABS_BASE_URL"))
    """Where the API is; empty means ElevenLabs itself."""
    voice_id: str = Field(
        "21m00Tcm4TlvDq8ikWAM", validation_alias=_named("AVATAR_ELEVENLABS_VOICE_ID", "ELEVENLABS_VOICE_ID")
    )
    """Voice of a session that names none; the default is Rachel."""
    model: str = Field("eleven_multilingual_v2", validation_alias=_named("AVATAR_ELEVENLABS_MODEL", "ELEVENLABS_MODEL"))
    """Speech model."""
    output_format: str = Field(
        "pcm_24000",
        pattern=r"^pcm_(8000|16000|22050|24000|32000|44100|48000)$",
        validation_alias=_named("AVATAR_ELEVENLABS_OUTPUT_FORMAT", "ELEVENLABS_OUTPUT_FORMAT"),
    )
    """Format of the voice as the vendor sends it; its rate is also the rate that clients hear."""
    timeout_s: float = Field(30.0, gt=0, validation_alias=_named("AVATAR_ELEVENLABS_TIMEOUT", "ELEVENLABS_TIMEOUT"))
    """Longest single wait on the vendor's connection, in seconds; the limits below are usually shorter."""

    @property
    def rate_hz(self) -> int:
        """Sample rate of the output format."""
        return int(self.output_format.removeprefix("pcm_"))


class TritonSettings(_Section):
    """Where lip-sync is rendered."""

    address: HostPort = Field("127.0.0.1:8001", validation_alias=_named("AVATAR_TRITON_ADDRESS"))
    """gRPC address of a Triton that serves the model."""
    model: str = Field("musetalk", validation_alias=_named("AVATAR_TRITON_MODEL"))
    """Name of the model in its repository."""
    timeout_s: float = Field(10.0, gt=0, validation_alias=_named("AVATAR_TRITON_TIMEOUT_S"))
    """Longest that a turn waits for one render request, in seconds."""


class LimitSettings(_Section):
    """Deadlines of vendor calls and bounds on what a client may send."""

    connect_s: float = Field(3.0, gt=0, validation_alias=_named("AVATAR_CONNECT_S"))
    """Longest wait for a vendor's connection, in seconds."""
    first_output_s: float = Field(5.0, gt=0, validation_alias=_named("AVATAR_FIRST_OUTPUT_S"))
    """Longest wait for a vendor's first output, in seconds."""
    between_outputs_s: float = Field(5.0, gt=0, validation_alias=_named("AVATAR_BETWEEN_OUTPUTS_S"))
    """Longest silence in a vendor's stream after its first output, in seconds."""
    attempts: int = Field(3, ge=1, le=5, validation_alias=_named("AVATAR_ATTEMPTS"))
    """How often a vendor call is tried before its first output."""
    message_bytes: int = Field(65_536, ge=4096, validation_alias=_named("AVATAR_MESSAGE_BYTES"))
    """Largest message a client may send on a stream, in bytes."""
    text_characters: int = Field(4_000, ge=1, validation_alias=_named("AVATAR_TEXT_CHARACTERS"))
    """Longest text a client may send as one input, in characters."""
    buffered_audio_s: float = Field(30.0, gt=0, validation_alias=_named("AVATAR_BUFFERED_AUDIO_S"))
    """Most user audio that waits to be listened to, in seconds; a client that sends faster is slowed down."""
    utterance_s: float = Field(60.0, gt=0, validation_alias=_named("AVATAR_UTTERANCE_S"))
    """Longest single utterance, in seconds; it is ended there."""
    queued_turns: int = Field(8, ge=1, validation_alias=_named("AVATAR_QUEUED_TURNS"))
    """Most turns that wait behind the current one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the service can be told."""

    server: ServerSettings
    openai: OpenAISettings
    elevenlabs: ElevenLabsSettings
    triton: TritonSettings
    limits: LimitSettings

    @classmethod
    def load(cls, env_file: Path | None = Path(".env")) -> Self:
        """Read the environment, and `env_file` where it exists. Raises StartupError naming what is wrong."""
        _refuse_unknown_names({*os.environ, *(dotenv_values(env_file) if env_file else ())})
        try:
            sections = {name: section(_env_file=env_file) for name, section in get_type_hints(cls).items()}
        except ValidationError as error:
            raise StartupError(_reasons(error)) from error
        return cls(**sections)

    def listening_on(self, address: str) -> Self:
        """These settings with another address to listen on. Raises StartupError if it is none."""
        try:
            return replace(self, server=ServerSettings(**(self.server.model_dump() | {"listen": address})))
        except ValidationError as error:
            raise StartupError(f"--{_reasons(error)}") from error

    def require_vendors(self) -> None:
        """Raise StartupError unless each vendor has a key or a base URL."""
        for name, vendor in (("OPENAI", self.openai), ("ELEVENLABS", self.elevenlabs)):
            if not (vendor.api_key.get_secret_value() or vendor.base_url):
                raise StartupError(
                    f"{name}_API_KEY and {name}_BASE_URL are both unset: give a key for the vendor itself, or the "
                    "address of a server that speaks its protocol; `avatar-service up` needs neither"
                )


def _reasons(error: ValidationError) -> str:
    """What is wrong with which setting, in one line; never its value, which may be a key."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors()
    )


def _refuse_unknown_names(names: set[str]) -> None:
    known = {
        alias
        for section in get_type_hints(Settings).values()
        for field in section.model_fields.values()
        for alias in field.validation_alias.choices
    }
    if unknown := sorted(name for name in names if name.startswith("AVATAR_") and name not in known):
        raise StartupError(f"unknown setting {', '.join(unknown)}; docs/settings.md lists every name")
