"""What a session was asked for, completed with the server's defaults: the effective configuration."""

from dataclasses import dataclass, field

from avatar_service.avatars.catalogue import Avatar
from avatar_service.engines.base import Message
from avatar_service.stages.endpointing import EndpointingSettings
from avatar_service.turn.turn import TurnSettings


@dataclass(frozen=True, slots=True)
class TurnTakingSettings:
    """Who decides when the user's turn begins and ends, and what the user's voice does to the avatar's."""

    manual: bool = False
    """Whether the client marks each utterance; otherwise voice activity does."""
    barge_in: bool = True
    false_barge_in_wait_s: float = 2.0
    """After a barge-in without words, when the unheard rest is spoken; 0 for never."""
    suppress_echo: bool = False
    """Whether the bar for a voice is higher while the avatar speaks."""
    early: bool = True
    """Whether transcription starts within the closing silence."""
    interim: bool = False
    """Whether the client is told what is understood early."""
    preemptive: bool = False
    """Whether the reply is asked for as soon as the early transcript is there."""
    longest_silence_s: float = 0.0
    """How long the closing silence may grow while words sound unfinished."""


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Everything that holds for a session; a `config_update` replaces it by another of the same media."""

    avatar: Avatar
    turn: TurnSettings
    input_rate_hz: int
    endpointing: EndpointingSettings = field(default_factory=EndpointingSettings)
    turn_taking: TurnTakingSettings = field(default_factory=TurnTakingSettings)
    history: tuple[Message, ...] = ()
    first_message: str = ""
    idle_frames: bool = False
    idle_timeout_s: float = 300.0
    """How long nothing may come from the client while the avatar is silent."""
    tool_timeout_s: float = 15.0
    """How long the results of tools are awaited."""
