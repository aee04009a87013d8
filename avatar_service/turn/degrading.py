"""What a turn can go on without: it is marked degraded, and the client is told once."""

from collections.abc import Awaitable, Callable

from avatar_service.channel import Sender
from avatar_service.errors import EngineError
from avatar_service.events import Event, Notice
from avatar_service.log import get_logger
from avatar_service.turn.turn import Turn

log = get_logger(__name__)


def degrading(turn: Turn, out: Sender[Event], reason: str, message: str) -> Callable[[EngineError], Awaitable[None]]:
    """What a stage calls for each failure of its engine that the turn survives; `reason` is that of the notice."""

    async def tell(error: EngineError) -> None:
        log.warning("engine_failed", stage=error.stage, engine=error.engine, error=type(error).__name__)
        if reason not in turn.degraded_by:
            turn.degraded_by.append(reason)
            await out.send(Notice(reason, message, turn.turn_id))

    return tell


def broke_off(turn: Turn, out: Sender[Event]) -> Callable[[EngineError], Awaitable[None]]:
    """What is called when a voice broke off in a sentence and its rest is asked for again."""
    return degrading(turn, out, "RETRYING", "The voice broke off within a sentence, and goes on.")
