"""What a client is told of a turn that failed: never a vendor's own words."""

from collections.abc import Awaitable

from avatar_service.errors import EngineError, EngineRejected, EngineTimeout
from avatar_service.events import Failure, FailureKind
from avatar_service.log import get_logger
from avatar_service.stages.encode import STAGE as ENCODE

log = get_logger(__name__)

_REFUSED = "The vendor of the stage `{}` refused: look at its key and quota, the model, the voice and the content."


async def engine_failure(turn: Awaitable[None]) -> Failure | None:
    """Run a turn to its end; an engine that fails ends the turn alone, and is returned."""
    failure: Failure | None = None
    try:
        await turn
    except* EngineError as errors:
        error = _first(errors)
        failure = failure_of(error)
        log.warning("turn_failed", **error.facts, kind=failure.kind.value)
    return failure


def failure_of(error: EngineError) -> Failure:
    """An engine's error in a sentence that is safe to show."""
    kind, message = _told(error)
    return Failure(kind, error.stage, message, error.engine, error.fault.value)


def _told(error: EngineError) -> tuple[FailureKind, str]:
    if isinstance(error, EngineTimeout):
        return FailureKind.TIMEOUT, f"The stage `{error.stage}` took too long."
    if isinstance(error, EngineRejected):
        return FailureKind.REJECTED, error.advice or _REFUSED.format(error.stage)
    if error.stage == ENCODE:
        return FailureKind.UNAVAILABLE, f"The stage `{error.stage}` failed: ask for other frames."
    return FailureKind.UNAVAILABLE, f"The vendor of the stage `{error.stage}` is not available."


def _first(errors: BaseExceptionGroup[EngineError]) -> EngineError:
    inner = errors.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
