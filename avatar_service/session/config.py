"""What a session was asked for, completed with the server's defaults: the effective configuration."""

from dataclasses import dataclass, field

from avatar_service.avatars.catalogue import Avatar
from avatar_service.engines.base import Message
from avatar_service.stages.endpointing import EndpointingSettings
from avatar_service.turn.turn import TurnSettings


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Everything that holds for a whole session."""

    avatar: Avatar
    turn: TurnSettings
    input_rate_hz: int
    endpointing: EndpointingSettings = field(default_factory=EndpointingSettings)
    barge_in: bool = True
    history: tuple[Message, ...] = ()
    first_message: str = ""
