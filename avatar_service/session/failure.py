"""What a client is told of a turn that failed: never a vendor's own words."""

from avatar_service.errors import EngineError, EngineRejected, EngineTimeout
from avatar_service.events import Failure, FailureKind


def failure_of(errors: BaseExceptionGroup[EngineError]) -> Failure:
    """The first engine error of a failed turn, in a sentence that is safe to show."""
    error = _first(errors)
    if isinstance(error, EngineTimeout):
        return Failure(FailureKind.TIMEOUT, error.stage, f"The stage `{error.stage}` took too long.")
    if isinstance(error, EngineRejected):
        return Failure(FailureKind.REJECTED, error.stage, f"The vendor of the stage `{error.stage}` refused.")
    return Failure(FailureKind.UNAVAILABLE, error.stage, f"The vendor of the stage `{error.stage}` is not available.")


def _first(errors: BaseExceptionGroup[EngineError]) -> EngineError:
    inner = errors.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
