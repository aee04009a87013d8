"""The service itself: where it listens, what avatars it has, how long sessions live."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from avatar_service.settings.section import Section, named
from avatar_service.settings.types import Headers, HostPort, HostPortOrEmpty, Name, RedisUrl, Seconds, Url

_CHECKOUT = Path(__file__).resolve().parents[2]


class ServerSettings(Section):
    """The gRPC server."""

    listen: HostPort = Field("127.0.0.1:50051", validation_alias=named("AVATAR_LISTEN"))
    """Address to listen on; port 0 picks a free one."""
    reflection: bool = Field(True, validation_alias=named("AVATAR_REFLECTION"))
    """Whether clients can ask the server for its contract."""
    max_sessions: int = Field(100, ge=1, le=10_000, validation_alias=named("AVATAR_MAX_SESSIONS"))
    """Streams served at once; one more is refused with RESOURCE_EXHAUSTED."""
    sessions_per_tenant: int = Field(0, ge=0, le=100_000, validation_alias=named("AVATAR_SESSIONS_PER_TENANT"))
    """Streams of one tenant at once, over all processes that share a Redis; 0: no limit of its own."""
    workers: int = Field(1, ge=1, le=64, validation_alias=named("AVATAR_WORKERS"))
    """Processes of `serve`, each on the next port."""
    stop_grace_s: float = Field(5.0, ge=0, le=3600, validation_alias=named("AVATAR_STOP_GRACE_S"))
    """How long open streams may go on after a stop was asked for, in seconds."""
    avatars: Path = Field(_CHECKOUT / "inference/assets/avatars", validation_alias=named("AVATAR_AVATARS"))
    """Directory of avatar bundles, the same that Triton reads."""
    default_avatar: str = Field("", validation_alias=named("AVATAR_DEFAULT_AVATAR"))
    """Avatar of a session that names none; empty takes the first by name."""
    metrics_listen: HostPortOrEmpty = Field("127.0.0.1:9464", validation_alias=named("AVATAR_METRICS_LISTEN"))
    """Address of metrics and probes over HTTP; empty switches them off."""
    health_listen: HostPortOrEmpty = Field("", validation_alias=named("AVATAR_HEALTH_LISTEN"))
    """Address of the health service alone, in plain text, for the kubelet's gRPC probes; empty: there is none."""
    log_format: Literal["console", "json"] = Field("console", validation_alias=named("AVATAR_LOG_FORMAT"))
    """`console` for people, `json` for machines."""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = Field(
        "INFO", validation_alias=named("AVATAR_LOG_LEVEL")
    )
    """Least severe level that is logged."""


class TracingSettings(Section):
    """Where spans are sent to; the names are OpenTelemetry's own."""

    endpoint: Url = Field(
        "", validation_alias=named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    )
    """Collector that takes spans by OTLP over gRPC; empty: there are none."""
    headers: Headers = Field(
        SecretStr(""), validation_alias=named("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
    )
    """What the collector wants to be told with each request, such as a key."""
    service_name: Name = Field("avatar-service", validation_alias=named("OTEL_SERVICE_NAME"))
    """Whose spans they are."""
    batch: int = Field(64, ge=1, le=10_000, validation_alias=named("OTEL_BSP_MAX_EXPORT_BATCH_SIZE"))
    """Most spans of one request to the collector. With the 512 of the specification the event loop waits for their
    encoding: its lag is twice as long then."""


class SessionSettings(Section):
    """Conversations: what is said where no reply can be had, how long a stream lives, where its session is kept."""

    apology: str = Field(
        "I'm sorry, I'm having trouble right now. Please try again.",
        min_length=1,
        max_length=500,
        validation_alias=named("AVATAR_APOLOGY"),
    )
    """What the avatar says where the chat model has failed for good."""
    redis_url: RedisUrl = Field(SecretStr(""), validation_alias=named("AVATAR_REDIS_URL"))
    """Redis that keeps the sessions of all processes; empty: each process keeps its own."""
    resume_s: Seconds = Field(120.0, validation_alias=named("AVATAR_RESUME_S"))
    """How long a session can be resumed after its stream has ended, in seconds."""
    age_s: float = Field(3_600.0, ge=1, le=86_400, validation_alias=named("AVATAR_SESSION_AGE_S"))
    """Age at which a stream is ended, in seconds."""
    go_away_s: Seconds = Field(60.0, validation_alias=named("AVATAR_GO_AWAY_S"))
    """How long before its end by age a stream is told of it, in seconds."""
