"""Triton, and the avatars that it renders and prepares."""

from pathlib import Path

from pydantic import Field

from avatar_service.settings.section import Section, named
from avatar_service.settings.types import HostPort, Name, Seconds


class TritonSettings(Section):
    """Where lip-sync is rendered."""

    address: HostPort = Field("127.0.0.1:8001", validation_alias=named("AVATAR_TRITON_ADDRESS"))
    """gRPC address of a Triton that serves the model."""
    model: Name = Field("musetalk", validation_alias=named("AVATAR_TRITON_MODEL"))
    """Name of the model in its repository."""
    timeout_s: Seconds = Field(10.0, validation_alias=named("AVATAR_TRITON_TIMEOUT_S"))
    """Longest that a turn waits for one render request, in seconds."""
    start_s: float = Field(0.0, ge=0, le=3600, validation_alias=named("AVATAR_TRITON_START_S"))
    """Longest that the service's start waits for a Triton that serves the model, in seconds."""


class LipSyncSettings(Section):
    """How much sound the lip-sync model hears around the frames of one request."""

    left_context_ms: int = Field(1_000, ge=200, le=2_500, validation_alias=named("AVATAR_LIPSYNC_LEFT_CONTEXT_MS"))
    """Sound before a request's first frame, in milliseconds; the embedded model was trained on the default."""
    look_ahead_ms: int = Field(240, ge=120, le=500, validation_alias=named("AVATAR_LIPSYNC_LOOK_AHEAD_MS"))
    """Sound after a request's last frame, in milliseconds, by which every frame comes later; the embedded model was
    trained on the default."""


class PreparationSettings(Section):
    """Avatars that users make, and bounds on what they may upload."""

    store: str = Field("", validation_alias=named("AVATAR_STORE"))
    """Directory of the avatars that users make; empty is `avatar-service/avatars` in the user's data directory."""
    data_home: str = Field("", validation_alias=named("XDG_DATA_HOME"))
    """The user's data directory; empty is ~/.local/share."""
    upload_bytes: int = Field(209_715_200, ge=1_024, le=4_294_967_296, validation_alias=named("AVATAR_UPLOAD_BYTES"))
    """Largest file that may be uploaded, in bytes."""
    source_pixels: int = Field(50_000_000, ge=4_096, le=80_000_000, validation_alias=named("AVATAR_SOURCE_PIXELS"))
    """Largest picture or video frame that may be uploaded, in pixels."""
    source_s: Seconds = Field(30.0, validation_alias=named("AVATAR_SOURCE_S"))
    """Longest video that may be uploaded, in seconds."""
    source_frames: int = Field(900, ge=1, le=10_000, validation_alias=named("AVATAR_SOURCE_FRAMES"))
    """Most frames of a video that may be uploaded."""
    side: int = Field(1_280, ge=128, le=4_096, validation_alias=named("AVATAR_SIDE"))
    """Longest side of an avatar's frames, in pixels; larger sources are scaled down."""
    stored: int = Field(100, ge=1, le=10_000, validation_alias=named("AVATAR_STORED"))
    """Most avatars in the store, those being prepared included."""
    stored_per_tenant: int = Field(20, ge=1, le=10_000, validation_alias=named("AVATAR_STORED_PER_TENANT"))
    """Most avatars of one tenant, where credentials tell tenants apart."""
    at_once: int = Field(1, ge=1, le=64, validation_alias=named("AVATAR_PREPARATIONS"))
    """Avatars prepared at once; each has one thread for its video."""
    queued: int = Field(8, ge=0, le=1_000, validation_alias=named("AVATAR_QUEUED_PREPARATIONS"))
    """Most uploads and preparations that wait behind those."""
    request_s: Seconds = Field(120.0, validation_alias=named("AVATAR_PREPARATION_TIMEOUT_S"))
    """Longest wait for one request to Triton, of up to 8 pictures, in seconds."""
    delete_grace_s: float = Field(3_600.0, ge=0, le=604_800, validation_alias=named("AVATAR_DELETE_GRACE_S"))
    """How long the files of a deleted avatar stay for the sessions that use it, in seconds."""

    @property
    def folder(self) -> Path:
        """Directory of the store; need not exist yet."""
        home = Path(self.data_home or "~/.local/share")
        return (Path(self.store) if self.store else home / "avatar-service" / "avatars").expanduser().absolute()
