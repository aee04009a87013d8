"""Why a preparation failed, in words that its caller may read."""

import secrets

from avatar_service.avatars.record import Failure
from avatar_service.avatars.store import store_error
from avatar_service.errors import ClientError, EngineError, EngineRejected, EngineTimeout, StoreError
from avatar_service.log import get_logger

log = get_logger(__name__)

FAILED = "PREPARATION_FAILED"


def failure_of(error: Exception) -> Failure:
    """The failure that an error means; what is not the caller's is logged, and told in a fixed sentence."""
    if isinstance(error, OSError):
        error = store_error(error)
    match error:
        case ClientError():
            return Failure("INVALID_ARGUMENT", error.reason, str(error))
        case EngineTimeout():
            log.warning("preparation_failed", error=str(error))
            return Failure(
                "DEADLINE_EXCEEDED", FAILED, "preparing took too long; upload it again when less is going on"
            )
        case EngineRejected():
            log.warning("preparation_failed", error=str(error))
            return Failure(
                "FAILED_PRECONDITION", FAILED, "the model that prepares avatars refused it; tell its operator"
            )
        case EngineError():
            log.warning("preparation_failed", error=str(error))
            return Failure(
                "UNAVAILABLE", FAILED, "the model that prepares avatars could not be reached; upload it again"
            )
        case StoreError():
            log.error("store_failed", exc_info=error)
            return Failure("RESOURCE_EXHAUSTED" if error.full else "UNAVAILABLE", "STORE_UNAVAILABLE", str(error))
        case _:
            error_id = secrets.token_hex(8)
            log.error("internal_error", error_id=error_id, exc_info=error)
            return Failure("INTERNAL", "INTERNAL", f"internal error {error_id}")
