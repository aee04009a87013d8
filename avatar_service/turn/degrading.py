"""What a turn can go on without, or comes to late: the client is told once of each."""

from collections.abc import Awaitable, Callable

from avatar_service.channel import Sender
from avatar_service.errors import EngineError
from avatar_service.events import Event, Notice
from avatar_service.log import get_logger
from avatar_service.stages.think import Apology
from avatar_service.turn.failure import failure_of
from avatar_service.turn.turn import Turn

log = get_logger(__name__)


def degrading(turn: Turn, out: Sender[Event], reason: str, message: str) -> Callable[[EngineError], Awaitable[None]]:
    """What a stage calls for each failure of its engine that the turn survives; `reason` is that of the notice."""

    async def tell(error: EngineError) -> None:
        log.warning("engine_failed", **error.facts)
        if reason not in turn.degraded_by:
            turn.degraded_by.append(reason)
            await out.send(Notice(reason, message, turn.turn_id, stage=error.stage, failure=failure_of(error)))

    return tell


def apology(turn: Turn, text: str, out: Sender[Event]) -> Apology:
    """What is said where the chat model fails, and how that is told."""
    failed = degrading(turn, out, "CHAT_FAILED", "An apology is spoken in place of the reply.")
    cut = degrading(turn, out, "REPLY_CUT", "The reply broke off; its whole sentences are spoken.")
    return Apology(text, failed, cut)


class TurnWatcher:
    """Tells a turn's client that a stage is late because an engine is asked again, or another one."""

    def __init__(self, turn: Turn, out: Sender[Event]) -> None:
        self._turn = turn
        self._out = out
        self._told: set[str] = set()

    async def retrying(self, error: EngineError) -> None:
        """Count it; the first of a stage is told."""
        self._turn.retries += 1
        if error.stage not in self._told:
            self._told.add(error.stage)
            message = f"The engine of the stage `{error.stage}` failed and is asked again: the turn will be late."
            await self._tell("RETRYING", message, error)

    async def falling_back(self, error: EngineError, engine: str) -> None:
        """Tell it once a stage: the turn counts as degraded."""
        message = f"The stage `{error.stage}` goes on with another engine, {engine}."
        if "FALLBACK" not in self._turn.degraded_by:
            self._turn.degraded_by.append("FALLBACK")
        if (fallback := f"{error.stage} fallback") not in self._told:
            self._told.add(fallback)
            await self._tell("FALLBACK", message, error)

    async def _tell(self, reason: str, message: str, error: EngineError) -> None:
        notice = Notice(reason, message, self._turn.turn_id, stage=error.stage, failure=failure_of(error))
        await self._out.send(notice)
