"""Deadlines and bounds."""

from pydantic import Field

from avatar_service.settings.section import Section, named
from avatar_service.settings.types import Seconds


class LimitSettings(Section):
    """Deadlines of vendor calls and bounds on what a client may send."""

    connect_s: Seconds = Field(3.0, validation_alias=named("AVATAR_CONNECT_S"))
    """Longest wait for a vendor's connection, in seconds."""
    first_output_s: Seconds = Field(5.0, validation_alias=named("AVATAR_FIRST_OUTPUT_S"))
    """Longest wait for a vendor's first output, in seconds."""
    between_outputs_s: Seconds = Field(5.0, validation_alias=named("AVATAR_BETWEEN_OUTPUTS_S"))
    """Longest silence in a vendor's stream after its first output, in seconds."""
    attempts: int = Field(3, ge=1, le=5, validation_alias=named("AVATAR_ATTEMPTS"))
    """How often a vendor call is tried before its first output, and a sentence asked for whose voice breaks off."""
    retry_wait_s: float = Field(1.0, ge=0, le=60, validation_alias=named("AVATAR_RETRY_WAIT_S"))
    """Wait before a vendor call's second attempt, in seconds; it doubles with each further one."""
    call_s: Seconds = Field(30.0, validation_alias=named("AVATAR_CALL_S"))
    """Longest that one vendor call may last from its request to the end of its answer, in seconds."""
    stage_s: Seconds = Field(12.0, validation_alias=named("AVATAR_STAGE_S"))
    """Longest wait for a stage's first output over all attempts and engines, in seconds; then its fallback is taken."""
    breaker_failures: int = Field(5, ge=1, le=1_000, validation_alias=named("AVATAR_BREAKER_FAILURES"))
    """Attempts that must fail in a row before an engine is left alone."""
    breaker_s: Seconds = Field(30.0, validation_alias=named("AVATAR_BREAKER_S"))
    """How long an engine is left alone before one call tries it again, in seconds."""
    message_bytes: int = Field(65_536, ge=4096, le=4_194_304, validation_alias=named("AVATAR_MESSAGE_BYTES"))
    """Largest message a client may send on a stream, in bytes."""
    messages_per_second: int = Field(200, ge=0, le=100_000, validation_alias=named("AVATAR_MESSAGES_PER_SECOND"))
    """Most messages a second that a client may send on one stream; 0: as many as it likes."""
    text_characters: int = Field(4_000, ge=1, le=1_000_000, validation_alias=named("AVATAR_TEXT_CHARACTERS"))
    """Longest text a client may send as one input, in characters."""
    buffered_audio_s: Seconds = Field(30.0, validation_alias=named("AVATAR_BUFFERED_AUDIO_S"))
    """Most user audio that waits to be listened to, in seconds; a client that sends faster is slowed down."""
    utterance_s: Seconds = Field(60.0, validation_alias=named("AVATAR_UTTERANCE_S"))
    """Longest single utterance, in seconds; it is ended there."""
    queued_turns: int = Field(8, ge=1, le=1_000, validation_alias=named("AVATAR_QUEUED_TURNS"))
    """Most turns that wait behind the current one."""
